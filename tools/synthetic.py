"""What questions by rule (template, no language model) are worth, on the project's data, with the offline base.

Usage: python tools/synthetic.py OUT

1. Ways of writing them are compared on the training subjects: questions by rule on those documents, examined by the labelled questions on them.
2. The best way, and the first, on the evaluation article, which took no part in 1; examined by its labelled questions.
3. Labelled questions against questions by rule, of the same training documents and equal in number; examined on the evaluation article.

What is done stands in OUT and is not repeated; OUT/synthetic.json is written anew after each run.
"""
import json, random, shutil, sys
from pathlib import Path
from datasets import concatenate_datasets
from korembed.config import TrainingConfig
from korembed.data import RetrievalSet, read_qa, retrieval_set, sample_path, write_retrieval_set
from korembed.evaluation import evaluate
from korembed.metrics import PRIMARY
from korembed.model import load_model
from korembed.runs import circumstances
from korembed.synthesis import TEMPLATE, generate, read_sources
from korembed.text import write_json, write_text
from korembed.training import score, train

SIZES = dict(chunk_size=100, chunk_overlap=20)   # of lessons and exams, as in `korembed demo`
EVERY = dict(model_name='offline', train_split=1., device='cpu', log_gradients=False, num_epochs=1) | SIZES
TRAIN, ARTICLE = ['train/articles.json', 'train/html.json'], ['eval/solar_system.txt']
LABELS = dict(train=TRAIN, article=['eval/solar_system.json'])
DOCUMENTS = dict(train=TRAIN, article=ARTICLE)
# n: questions a chunk at most; words: with the rule that asks by the nouns of a sentence
WAYS = {'choosy rules, 3 passes': dict(n=2, words=False, num_epochs=3),
        'words too, 2 a chunk': dict(n=2),
        'words too, 8 a chunk': dict(n=8)}
ASKED = 200   # labelled questions that decide in part 1
CURVE, SEEDS = (100, 200, 400), (42, 43, 44)   # sizes; each seed draws its own questions

def paths(names: list[str]) -> list[Path]: return [sample_path(n) for n in names]

def labelled(where: str): return concatenate_datasets([read_qa(p) for p in paths(LABELS[where])])

def exam_of(where: str) -> RetrievalSet:
    "The labelled questions over chunks of the documents they were written on."
    docs, qa = read_sources(paths(DOCUMENTS[where]))[0], labelled(where)
    if len(qa) > ASKED and where == 'train': qa = qa.shuffle(seed=1).select(range(ASKED))
    return retrieval_set(qa, 'chunk', documents=docs, **SIZES)

def by_rule(where: str, out: Path, n: int) -> list[dict]:
    "Questions by rule on the documents, none near a labelled one."
    folder = out/f'{where}, {n} a chunk'
    if not (folder/'manifest.json').is_file():
        generate(paths(DOCUMENTS[where]), folder, TEMPLATE, n=n, same_corpus=True, tests=paths([*LABELS['train'], *LABELS['article']]))
    return [json.loads(l) for part in ('train', 'validation') for l in (folder/f'{part}.jsonl').read_text(encoding='utf-8').splitlines()]

class Book:
    "What was measured, run by run."
    def __init__(self, out: Path): self.out, self.runs = out, []

    def run(self, name: str, rows: list[dict], examine, seed: int = 42, **settings) -> dict:
        "Train on some questions and examine, unless that is done."
        note = self.out/f'{name}, seed {seed}.json'
        if not note.is_file():
            folder = self.out/'run'
            shutil.rmtree(folder, ignore_errors=True)
            lessons = write_text(self.out/'lessons.jsonl', ''.join(json.dumps(r, ensure_ascii=False) + '\n' for r in rows))
            made = train(lessons, folder, TrainingConfig(**EVERY | settings | dict(seed=seed)))
            write_json(note, dict(name=name, seed=seed, settings=settings, questions=len(rows), pairs=made['train_examples'], steps=made['steps'],
                                  **examine(folder/'model')))
            shutil.rmtree(folder)
        self.runs.append(found := json.loads(note.read_text(encoding='utf-8')))
        print(f"{found['scores'][PRIMARY]:.4f}  {name}, seed {seed}", flush=True)
        return found

    def write(self, **more) -> None: write_json(self.out/'synthetic.json', more | dict(runs=self.runs))

def base_on(out: Path, where: str, exam: RetrievalSet) -> dict:
    note = out/f'base on {where}.json'
    if not note.is_file(): write_json(note, score(load_model('offline', device='cpu'), exam))
    return json.loads(note.read_text(encoding='utf-8'))

def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    book, exams = Book(out), {w: exam_of(w) for w in DOCUMENTS}
    file = write_retrieval_set(exams['article'], out/'exam.json')
    told = dict(every=EVERY, ways=WAYS, base={w: base_on(out, w, e) for w, e in exams.items()}, made_with=circumstances(),
                exams={w: dict(questions=len(e.queries), chunks=len(e.corpus)) for w, e in exams.items()})

    def scored(where): return lambda model: dict(scores=score(load_model(str(model), device='cpu'), exams[where]))

    def compared(model):
        found = evaluate(['offline', str(model)], file, device='cpu')
        return dict(scores=found['results']['tuned'], results=found['results'], comparison=found['comparison'], setting=found['setting'])

    def way(where: str, name: str, examine, **more) -> dict:
        how = dict(WAYS[name])
        n, words = how.pop('n'), how.pop('words', True)
        rows = [r for r in by_rule(where, out, n) if words or r['kind'] != 'words']
        return book.run(f'{where}, {name}', rows, examine, **how, **more)

    for name in WAYS:
        way('train', name, scored('train'))
        book.write(**told)
    best = max(book.runs, key=lambda r: r['scores'][PRIMARY])['name'].removeprefix('train, ')
    told |= dict(best=best)
    for name in dict.fromkeys([best, next(iter(WAYS))]):
        way('article', name, compared)
        book.write(**told)
    sides = dict(labelled=[dict(r) for r in labelled('train')], rules=by_rule('train', out, 8))
    told |= dict(curve=CURVE, seeds=SEEDS, sides={k: len(v) for k, v in sides.items()})
    for seed in SEEDS:
        for size in CURVE:
            for side, rows in sides.items():
                book.run(f'{side}, {size}', random.Random(seed).sample(rows, size), scored('article'), seed)
                book.write(**told)

if __name__ == '__main__':
    if len(sys.argv) != 2: sys.exit(__doc__)
    main(Path(sys.argv[1]))
