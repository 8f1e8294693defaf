"""Filling a collection: korembed's index against sentence-transformers and Chroma doing the same, and the memory that both take.

Usage: python benchmarks/index.py [CHUNKS ...] [--json]
(by default the rate only; memory is measured with so many chunks, such as 10000 100000, which take minutes)

The rate: the same passages of the project, both with the offline model in batches of 32, three times in turns. korembed also cuts the
documents, names the chunks, counts those that are too long for the model, and writes the note; the bare libraries are handed the chunks.

The memory: each in a process of its own, with documents from files and vectors made from the hash of a chunk instead of by the model, so
that 100,000 chunks take minutes. What counts is the most that the process held (VmHWM) less what it held before the first document. The
bare libraries read the same files one after another and forget them, so their memory is Chroma's own: graph, write-ahead log and cache.
"""
import json, os, random, re, subprocess, sys, tempfile, time
from pathlib import Path

SIZE, OVERLAP, STEP, BATCH, ROUNDS = 110, 20, 1024, 32, 3   # characters, characters, chunks, texts, times
NAME = 'original_embeddings'

def empty(db: Path):
    "A new collection as korembed makes it."
    import chromadb
    from korembed.indexing import HNSW
    client = chromadb.PersistentClient(str(db), chromadb.Settings(anonymized_telemetry=False))
    return client.create_collection(NAME, configuration={'hnsw': {'space': 'cosine'} | HNSW}, embedding_function=None)

def add(collection, ids: list[str], texts: list[str], facts: list[dict], encode) -> tuple[float, float]:
    "Embed and store with the bare libraries; seconds of each."
    began = time.perf_counter()
    vectors = encode(texts)
    now = time.perf_counter()
    collection.add(ids=ids, embeddings=vectors, documents=texts, metadatas=facts)
    return now - began, time.perf_counter() - now

# ---- the rate

def clocks() -> tuple[float, float]: return time.perf_counter(), time.process_time()

def bare(chunks, model, db: Path) -> dict:
    began, took = clocks(), dict(embed=0., store=0.)
    collection = empty(db)
    for i in range(0, len(chunks), STEP):
        part = chunks[i:i + STEP]
        facts = part[['source', 'start', 'end']].to_dict('records')
        encode = lambda t: model.encode(t, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        for k, s in zip(took, add(collection, part['id'].tolist(), part['text'].tolist(), facts, encode)): took[k] += s
    return took | dict(zip(('all', 'cpu'), (b - a for a, b in zip(began, clocks()))))

def ours(docs: dict[str, str], embedder, db: Path) -> dict:
    from korembed.indexing import index
    began = clocks()
    took = index(docs, embedder, NAME, db, SIZE, OVERLAP)['seconds']
    return took | dict(zip(('all', 'cpu'), (b - a for a, b in zip(began, clocks()))))

def rates() -> dict:
    "Median of each ratio, and chunks a second."
    from statistics import median
    from korembed.data import read_qa, sample_path
    from korembed.indexing import chunk_documents
    from korembed.model import Embedder, offline_path
    from sentence_transformers import SentenceTransformer
    docs = {f'{i}.txt': t for i, t in enumerate(dict.fromkeys(read_qa(sample_path('train/articles.json'))['context']))}
    model, embedder = SentenceTransformer(str(offline_path()), device='cpu'), Embedder('offline', device='cpu', batch_size=BATCH)
    chunks = chunk_documents(docs, SIZE, OVERLAP)
    some = dict(list(docs.items())[:10])   # the first time is never typical
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        bare(chunk_documents(some, SIZE, OVERLAP), model, Path(tmp)/'0'); ours(some, embedder, Path(tmp)/'1')
        pairs = [(bare(chunks, model, Path(tmp)/f'bare{i}'), ours(docs, embedder, Path(tmp)/f'ours{i}')) for i in range(ROUNDS)]
    mid = [{k: median(p[who][k] for p in pairs) for k in pairs[0][who]} for who in (0, 1)]
    return dict(chunks=len(chunks), bare=mid[0], ours=mid[1], ratio={k: median(o[k] / b[k] for b, o in pairs) for k in mid[0]})

# ---- the memory

def write_documents(folder: Path, chunks: int) -> None:
    "Files of some hundred chunks each, of words drawn from the project's texts."
    from korembed.data import read_qa, sample_path
    rng = random.Random(0)
    words = ' '.join(dict.fromkeys(read_qa(sample_path('train/articles.json'))['context'])).split()
    folder.mkdir()
    for i in range(chunks // 100): (folder/f'{i}.txt').write_text(' '.join(rng.choices(words, k=2200)), encoding='utf-8')

def hashed(texts: list[str], dimension: int = 384):
    "A vector of length 1 for each text, near one of 300 points."
    import numpy as np, xxhash
    out, centres = np.empty((len(texts), dimension), np.float32), np.random.default_rng(0).standard_normal((300, dimension))
    for i, t in enumerate(texts):
        rng = np.random.default_rng(xxhash.xxh3_64_intdigest(t.encode()))
        out[i] = centres[rng.integers(300)] + rng.standard_normal(dimension)
    return out / np.linalg.norm(out, axis=1, keepdims=True)

def held(what: str) -> int:   # bytes; Linux
    return int(re.search(rf'^{what}:\s+(\d+)', Path('/proc/self/status').read_text(), re.M)[1]) * 1024

def fill(what: str, docs: Path, db: Path, chunks: int) -> None:
    "In a process of its own: fill, and say what it took."
    from korembed.indexing import each_document, index
    from korembed.model import Embedder
    from korembed.text import chunk_text
    class Hashed(Embedder):
        def encode_passages(self, passages, progress=None): return hashed(passages)
    embedder = Hashed('offline', device='cpu')
    embedder.encode_queries(['가'])
    before, began = held('VmRSS'), clocks()
    if what == 'ours': n = index(docs, embedder, NAME, db, SIZE, OVERLAP, max_chunks=chunks)['chunks']
    else:
        collection, n, part = empty(db), 0, []
        for name, text in each_document(docs):
            part += [(f'{name}-{c.start}', c.text, dict(source=name, start=c.start, end=c.end)) for c in chunk_text(text, SIZE, OVERLAP)]
            while len(part) >= STEP or (part and n + len(part) >= chunks):
                now, part = part[:min(STEP, chunks - n)], part[STEP:]
                add(collection, *map(list, zip(*now)), hashed)
                n += len(now)
                if n == chunks: break
            if n == chunks: break
    wall, cpu = (b - a for a, b in zip(began, clocks()))
    print(json.dumps(dict(chunks=n, memory=held('VmHWM') - before, before=before, seconds=wall, cpu=cpu)))

def memory(chunks: int) -> dict:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        write_documents(Path(tmp)/'docs', chunks)
        def said(w: str) -> bytes:
            command = [sys.executable, __file__, '--fill', w, f'{tmp}/docs', f'{tmp}/{w}', str(chunks)]
            return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        return {w: json.loads(said(w)) for w in ('bare', 'ours')}

def main(sizes: list[int], as_json: bool) -> None:
    got = dict(rate=(r := rates()), memory={})
    if not as_json:
        print(f"{r['chunks']} chunks    embed    store      all      CPU")
        for who in ('bare', 'ours'):
            print(f'  {who:11}' + ' '.join(f"{r['chunks'] / r[who][k]:8.1f}" for k in ('embed', 'store', 'all')) + ' chunks a second')
        print('  ours / bare' + ' '.join(f"{r['ratio'][k]:8.3f}" for k in ('embed', 'store', 'all', 'cpu')) + ' of the time', flush=True)
    for n in sizes:
        got['memory'][n] = m = memory(n)
        if m['bare']['chunks'] != n or m['ours']['chunks'] != n: raise RuntimeError(f'not {n} chunks: {m}')
        if not as_json:
            said = ', '.join(f"{w} {v['memory'] / 2**20:.0f} MiB in {v['seconds']:.0f} s ({v['cpu']:.0f} s of CPU)" for w, v in m.items())
            print(f"{n} chunks: {said}; {(m['ours']['memory'] - m['bare']['memory']) / 2**20:+.0f} MiB", flush=True)
    if as_json: print(json.dumps(got))

if __name__ == '__main__':
    if '--fill' in sys.argv: fill(*sys.argv[2:3], *map(Path, sys.argv[3:5]), int(sys.argv[5])); sys.exit()
    main([int(a) for a in sys.argv[1:] if a != '--json'], '--json' in sys.argv)
