"""Hybrid against its better half, on labelled questions: BM25, each model, their ranks added (RRF), and their scores added by a
weight chosen on the questions of other articles. The last column is hybrid less the better half in NDCG@10, with its 95 % interval over passages.

Usage: python benchmarks/hybrid.py [QA_FILE MODEL ...] [CHUNK_SIZE]
(by default the project's exam, the offline model, chunks of 170 characters)

Articles that a model was trained on are left out of its row.
"""
import sys
from korembed.certainty import paired_difference
from korembed.data import sample_path
from korembed.evaluation import load_exam, run_systems, score_runs
from korembed.metrics import PRIMARY
from korembed.model import Embedder

def row(data: str, model: str, size: int) -> str:
    "What stands in the table for one model."
    exam, about = load_exam(data, [model], 'chunk', size, size // 5)
    runs, made = run_systems(exam, dict(base=Embedder(model)), ('bm25', 'hybrid', 'rrf'), articles=about['articles'])
    scores = {s: f[PRIMARY].to_numpy() for s, f in score_runs(exam, runs).items()}
    better = max(('bm25', 'base'), key=lambda s: scores[s].mean())
    d = paired_difference(scores['hybrid_base'], scores[better], [exam.groups[q] for q in exam.queries])
    low, high = d['interval'] or (float('nan'),) * 2
    said = '  '.join(f'{scores[s].mean():6.3f}' for s in ('bm25', 'base', 'rrf_base', 'hybrid_base'))
    return (f"{said}  {d['difference']:+.4f} [{low:+.4f}, {high:+.4f}]  weights {made['hybrid_base']['weights']}, "
            f'{len(exam.queries)} questions, {len(exam.corpus)} chunks: {model}')

if __name__ == '__main__':
    args = sys.argv[1:]
    size = int(args.pop()) if args and args[-1].isdigit() else 170
    if len(args) == 1: sys.exit(__doc__)
    data, *models = args or [str(sample_path('eval/solar_system.json')), 'offline']
    print('  bm25   dense     rrf  hybrid  hybrid less the better half')
    for m in models: print(row(data, m, size), flush=True)
