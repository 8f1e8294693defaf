"How fast passages are encoded through korembed's Embedder, against plain sentence-transformers, in one run."
import time
from sentence_transformers import SentenceTransformer
from korembed.data import read_qa, sample_path
from korembed.model import Embedder, offline_path

texts = sorted(set(read_qa(sample_path('train/articles.json'))['context']))[:96]
plain, ours = SentenceTransformer(str(offline_path()), device='cpu'), Embedder('offline', device='cpu')

def seconds(encode):
    began = time.perf_counter(); encode(texts)
    return time.perf_counter() - began

both = {'sentence-transformers': lambda t: plain.encode(t, show_progress_bar=False), 'korembed': ours.encode_passages}
for f in both.values(): f(texts[:32])   # the first call is never typical
# taken in turns, best of five: what else the machine does hits both
best = {k: min(v) for k, v in zip(both, zip(*[[seconds(f) for f in both.values()] for _ in range(5)]))}
print(f"encoding {len(texts)} passages: korembed / sentence-transformers = {best['korembed'] / best['sentence-transformers']:.2f} of the time")
