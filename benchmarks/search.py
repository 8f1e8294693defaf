"""How long one question takes: korembed against plain sentence-transformers with Chroma, and against exact search, in one run.

Usage: python benchmarks/search.py [FOLDER [CHUNKS ...]] [--deep] [--json]
(by default collections of 1,000 and 10,000 chunks in a folder that is thrown away)

FOLDER keeps the collections, one database for each size. 100,000 chunks take minutes to put in; broken off, the next run goes on where
it stopped. The first chunks are those of the project's exam, encoded by the offline model; the others are made up of
the project's words, and their vectors lie in clusters around those of the real ones. So times are real, and hits mean nothing.

Each question goes to all systems before the next is asked, each time in another order. `x plain` is the median of what a system takes
over what plain takes for the same question; `CPU` says the same of computing time, all threads counted. `once` opens everything again
for each question but the model: korembed's `search` as a function, and the libraries in the same way.

`--deep` asks a model of twelve layers, as multilingual-e5-small has them, in place of six: the offline one with each layer twice. What
korembed adds to a question does not depend on the model, so its share is smaller then. Give it a FOLDER of its own.
"""
import copy, json, random, sys, tempfile, time
from pathlib import Path
import chromadb, numpy as np, xxhash
from korembed.data import read_qa, sample_path
from korembed.indexing import HNSW, chunk_documents, index
from korembed.model import Embedder, offline_path
from korembed.retrieval import Searcher, search
from korembed.store import chroma_folder
from sentence_transformers import SentenceTransformer

SIZE, OVERLAP, TOP = 110, 20, 5   # characters, characters, hits
ROUNDS, ONCE = 2, 10   # times that all questions are asked; questions with everything opened again
NAME = 'original_embeddings'

def made_up(chunks: int) -> dict[str, str]:
    "The exam's passages, and documents of 200 words drawn at random from the project's texts, enough for so many chunks."
    rng, real = random.Random(0), dict.fromkeys(read_qa(sample_path('eval/solar_system.json'))['context'])
    words = ' '.join([*real, *dict.fromkeys(read_qa(sample_path('train/articles.json'))['context'])]).split()
    docs = {f'real-{i}.txt': t for i, t in enumerate(real)}
    return docs | {f'{i}.txt': ' '.join(rng.choices(words, k=200)) for i in range(chunks // 9)}

def deepened(model: SentenceTransformer) -> SentenceTransformer:
    layers = model.transformers_model.encoder.layer
    layers.extend([copy.deepcopy(x) for x in layers])
    return model

class Clusters(Embedder):
    "The offline model for the chunks of the exam; for all others a point near one of those, which one the text's hash says."
    # away from it in the directions in which the real ones differ: HNSW loses many points where noise is alike in all directions
    def __init__(self, deep: bool) -> None:
        super().__init__('offline', device='cpu')
        if deep: deepened(self.model)
        real = chunk_documents(made_up(0), SIZE, OVERLAP)['text'].tolist()
        self.known = dict(zip(real, super().encode_passages(real, progress=False)))
        self.centres = np.stack(list(self.known.values()))
        _, far, ways = np.linalg.svd(self.centres - self.centres.mean(0), full_matrices=False)
        self.ways = (far[:, None] * ways)[:32] / len(self.centres) ** .5

    def _vector(self, text: str) -> np.ndarray:
        if text in self.known: return self.known[text]
        rng = np.random.default_rng(xxhash.xxh3_64_intdigest(text.encode()))
        v = self.centres[rng.integers(len(self.centres))] + rng.standard_normal(len(self.ways)) @ self.ways
        return (v / np.linalg.norm(v)).astype(np.float32)

    def encode_passages(self, passages: list[str], progress: bool | None = None) -> np.ndarray:
        return np.stack([self._vector(t) for t in passages])

def filled(folder: Path, chunks: int, embedder: Embedder) -> Path:
    "The database of so many chunks, filled where it is not yet."
    began = time.perf_counter()
    made = index(made_up(chunks), embedder, NAME, folder/str(chunks), SIZE, OVERLAP, max_chunks=chunks)
    if made['chunks'] != chunks: raise RuntimeError(f"{made['chunks']} chunks instead of {chunks}")
    if made['added']: print(f"{chunks} chunks: {made['added']} put in, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return folder/str(chunks)

# ---- the bare libraries

def opened(db: Path) -> chromadb.Collection:
    client = chromadb.PersistentClient(str(chroma_folder(NAME, db).absolute()), chromadb.Settings(anonymized_telemetry=False))
    return client.get_collection(NAME, embedding_function=None)

def asked(model: SentenceTransformer, collection: chromadb.Collection, question: str) -> list[str]:
    vector = model.encode(question, normalize_embeddings=True, show_progress_bar=False)
    return collection.query(query_embeddings=[vector], n_results=TOP, include=['documents', 'metadatas', 'distances'])['ids'][0]

def exact(model: SentenceTransformer, ids: list[str], vectors: np.ndarray, question: str) -> list[str]:
    scores = vectors @ model.encode(question, normalize_embeddings=True, show_progress_bar=False)
    near = np.argpartition(-scores, TOP)[:TOP]
    return [ids[i] for i in near[np.argsort(-scores[near])]]

def systems(db: Path, embedder: Embedder, model: SentenceTransformer) -> tuple[dict, dict]:
    "What is asked again and again, and what is opened for each question; each takes a question and gives ids."
    collection, many = opened(db), Searcher(embedder, NAME, db)
    kept = collection.get(include=['embeddings'])
    vectors = np.asarray(kept['embeddings'], np.float32)
    modes = ('dense', 'bm25', 'hybrid')
    again = dict(plain=lambda q: asked(model, collection, q), exact=lambda q: exact(model, kept['ids'], vectors, q))
    again |= {m: lambda q, m=m: many.search(q, TOP, m).doc_id.tolist() for m in modes}
    once = {'plain once': lambda q: asked(model, opened(db), q)}
    once |= {f'{m} once': lambda q, m=m: search(q, embedder, NAME, db, TOP, m).doc_id.tolist() for m in modes}
    return again, once

# ---- taken in turns

def timed(ask: dict, questions: list[str], rounds: int) -> tuple[dict, dict]:
    "Wall and CPU seconds of each system for each question, (questions,) each; and what was found."
    rng, took, found = random.Random(0), {s: [] for s in ask}, {s: [] for s in ask}
    for s in ask: ask[s](questions[0])   # the first call is never typical
    for q in questions * rounds:
        for s in rng.sample(list(ask), len(ask)):
            wall, cpu = time.perf_counter(), time.process_time()
            ids = ask[s](q)
            took[s].append((time.perf_counter() - wall, time.process_time() - cpu))
            found[s].append(ids)
    return {s: np.array(t) for s, t in took.items()}, found

def summary(took: dict, found: dict, plain: str) -> dict:
    "Milliseconds and ratios of each system."
    row = lambda s, t: dict(p50=np.median(t[:, 0]) * 1e3, p95=np.quantile(t[:, 0], .95) * 1e3, ratio=np.median(t[:, 0] / took[plain][:, 0]),
                            more=np.median(t[:, 0] - took[plain][:, 0]) * 1e3, cpu=np.median(t[:, 1] / took[plain][:, 1]),
                            same=np.mean([a == b for a, b in zip(found[s], found[plain])]))
    return {s: {k: round(float(v), 3) for k, v in row(s, t).items()} for s, t in took.items()}

def measure(db: Path, embedder: Embedder, model: SentenceTransformer) -> dict:
    questions = list(dict.fromkeys(read_qa(sample_path('eval/solar_system.json'))['question']))[:60]
    again, once = systems(db, embedder, model)
    return summary(*timed(again, questions, ROUNDS), 'plain') | summary(*timed(once, questions[:ONCE], 1), 'plain once')

def main(folder: Path, sizes: list[int], deep: bool, as_json: bool) -> None:
    embedder, model, got = Clusters(deep), SentenceTransformer(str(offline_path()), device='cpu'), {}
    if deep: deepened(model)
    for n in sizes:
        got[n] = measure(filled(folder, n, embedder), embedder, model)
        if as_json: continue
        print(f'{n} chunks          p50 ms   p95 ms  x plain  more ms      CPU  same ids')
        for s, r in got[n].items():
            print(f"  {s:14} {r['p50']:9.2f} {r['p95']:8.2f} {r['ratio']:8.2f} {r['more']:8.2f} {r['cpu']:8.2f} {r['same']:9.2f}",
                  flush=True)
    if as_json: print(json.dumps(dict(hnsw=HNSW, top_k=TOP, sizes=got)))

if __name__ == '__main__':
    args, how = [a for a in sys.argv[1:] if not a.startswith('--')], ('--deep' in sys.argv, '--json' in sys.argv)
    sizes = [int(a) for a in args[1:]] or [1000, 10_000]
    if args: main(Path(args[0]), sizes, *how)
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp: main(Path(tmp), sizes, *how)
