"""Which settings train best: several on one split of a QA file; the three best and the default again, with other seeds and with all pairs.

Usage: python tools/recipe.py QA_FILE OUT [NAME ...]   (names of SETTINGS; all, and then the repetitions, by default)

Each setting sees the same 1,200 questions of the training articles once, and the best see all of them; the score is NDCG@10 over 100-character chunks of the articles held out of the
same file. What is done stands in OUT and is not repeated; a run that was stopped goes on where it was. OUT/recipe.json is written at the end.
"""
import json, sys
from pathlib import Path
from korembed.config import TrainingConfig
from korembed.data import RetrievalSet, fingerprint, read_qa, retrieval_set, split, without_repeats
from korembed.model import load_model
from korembed.metrics import PRIMARY
from korembed.runs import circumstances
from korembed.text import write_json
from korembed.training import score, train

ONE_PASS = dict(model_name='offline', num_epochs=1, train_split=1.)
FEW = ONE_PASS | dict(max_samples=1200)  # part of one pass, so that all settings can be tried in an afternoon on two cores
CLASSIC = dict(lora_r=8, lora_alpha=16, lora_dropout=.1, lora_targets='query,key,value', learning_rate=2e-5, dropout=.1, name_letters=False)
SETTINGS = {
    'classic': CLASSIC | dict(positive='answer'),
    'classic, passages': CLASSIC,
    'as the default': {},
    'answers': dict(positive='answer'),
    'no letters named': dict(name_letters=False),
    'new letters only': dict(lora_tokens=False),
    'dropout .1': dict(dropout=.1),
    'r=16': dict(lora_r=16, lora_alpha=32),
    'query, key, value': dict(lora_targets='query,key,value'),
    'rate 5e-4': dict(learning_rate=5e-4),
    'rate 2e-3': dict(learning_rate=2e-3),
    'batch 16': dict(batch_size=16),
    'batch 64': dict(batch_size=64),
    'scale 40': dict(scale=40.),
    'chunks of 100': dict(chunk_size=100, chunk_overlap=20),
    'mined negatives': dict(negatives='mine'),
    'Triplet loss': dict(loss='Triplet', negatives='random'),
    'prompts of E5': dict(prompts='e5'),
    'all weights': dict(tuning='full', learning_rate=1e-4)}

def sides(path: Path, out: Path) -> tuple[Path, RetrievalSet, dict]:
    "The training side as a file, and the exam."
    parts = split(without_repeats(read_qa(path)), .8, seed=7)
    out.mkdir(parents=True, exist_ok=True)
    if not (out/'train.parquet').is_file(): parts['train'].to_parquet(str(out/'train.parquet'))
    about = {k: dict(rows=len(v), articles=len(set(v['title'])), fingerprint=fingerprint(v)) for k, v in parts.items()}
    return out/'train.parquet', retrieval_set(parts['validation'], 'chunk', 100, 20), about

def main(path: Path, out: Path, names: list[str]) -> None:
    data, exam, about = sides(path, out)

    def kept(name: str, make) -> dict:
        "What a file of OUT says, made where it is missing; so several of these scripts can share the work."
        book = out/f'{name}.json'
        if not book.is_file(): write_json(book, make())
        return json.loads(book.read_text(encoding='utf-8'))

    def once(name: str, seed: int, every: dict = FEW) -> dict:
        called = f'{name}, seed {seed}' + ', all pairs' * (every is ONE_PASS)
        def make() -> dict:
            run = out/'runs'/called
            train(data, run, TrainingConfig(**every | SETTINGS[name] | dict(seed=seed)), resume=run.is_dir())
            return dict(name=name, seed=seed, settings=SETTINGS[name], scores=score(load_model(str(run/'model')), exam))
        found = kept(called, make)
        print(f"{found['scores'][PRIMARY]:.4f}  {called}", flush=True)
        return found

    told = kept('about', lambda: dict(data=about, made_with=circumstances(), every=FEW, base=score(load_model('offline'), exam)))
    if told['data'] != about: sys.exit(f'{out}: made of other data; name another OUT')
    runs = [once(n, 42) for n in names or SETTINGS]
    if names: return
    best = [r['name'] for r in sorted(runs, key=lambda r: -r['scores'][PRIMARY])[:3]]
    best = list(dict.fromkeys([*best, 'as the default']))
    runs += [once(n, seed) for n in best for seed in (1, 2)]
    write_json(out/'recipe.json', told | dict(runs=runs, all_pairs=[once(n, 42, ONE_PASS) for n in best]))

if __name__ == '__main__':
    if len(sys.argv) < 3: sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
