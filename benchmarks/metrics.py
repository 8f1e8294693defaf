"""A million scores ranked and scored, and a clustered bootstrap: how long, and against ranx in the same run where it is installed.

Usage: python benchmarks/metrics.py [QUERIES DOCUMENTS]
(by default 1,000 queries with 1,000 scored documents each)

Both are given what they are made for: korembed arrays, and ranx the `Qrels` and `Run` that it builds from dicts; building them is shown
by itself. Then both are given the same dicts. Compiling ranx is not counted: it has scored a small run before. ranx knows no
bootstrap; its randomisation test, each question for itself, stands against ours in the last line. Values of both are compared, too.
"""
import os, sys, time
import numpy as np
from korembed.certainty import _by_group, _resampled, _sign_flip_p, paired_difference
from korembed.metrics import gains, rank_metrics, top_k
try: import ranx
except ImportError: ranx = None

KEYS = [f'{m}@{k}' for m in ('ndcg', 'recall', 'precision', 'f1', 'hit_rate', 'mrr') for k in (1, 3, 5, 10)] + ['map@100']
QUESTIONS, PASSAGES, SAMPLES = 5774, 960, 10_000   # as many as in the dev set of KorQuAD 1.0

def best(f, *args, rounds: int = 3) -> tuple[float, object]:
    "Seconds of the quickest of some rounds, and what it gave."
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        got = f(*args)
        took.append(time.perf_counter() - began)
    return min(took), got

def line(what: str, mine: float, theirs: float | None = None) -> None:
    print(f'{what:58} {mine:8.3f} s' + ('' if theirs is None else f' {theirs:8.3f} s {theirs / mine:8.1f} x'), flush=True)

def from_arrays(scores: np.ndarray, labels: np.ndarray):
    return rank_metrics(np.take_along_axis(labels, top_k(scores, 100), 1), labels.sum(1), KEYS)

def from_dicts(run: dict, qrels: dict):
    ranked = [sorted(docs, key=docs.get, reverse=True)[:100] for docs in run.values()]
    return rank_metrics(gains(ranked, [set(right) for right in qrels.values()]), np.array([len(r) for r in qrels.values()]), KEYS)

def evaluated(qrels, run) -> dict[str, np.ndarray]: return ranx.evaluate(qrels, run, KEYS, return_mean=False)

def main(queries: int, documents: int) -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.random((queries, documents)), rng.random((queries, documents)) < 3 / documents
    labels[np.arange(queries), rng.integers(0, documents, queries)] = True
    names = [f'd{j}' for j in range(documents)]
    run = {f'q{i:06}': dict(zip(names, row)) for i, row in enumerate(scores.tolist())}
    qrels = {f'q{i:06}': {names[j]: 1 for j in np.flatnonzero(row)} for i, row in enumerate(labels)}
    print(f'{queries * documents:,} scores, {len(KEYS)} metrics; {os.cpu_count()} cores{"" if ranx else "; ranx is not installed"}')
    print(f'{"":58} korembed' + ('         ranx    ratio' if ranx else ''))
    (array, mine), (dicts, again) = best(from_arrays, scores, labels), best(from_dicts, run, qrels)
    if not mine.equals(again): raise RuntimeError('arrays and dicts give different metrics')
    if ranx:
        evaluated(ranx.Qrels({'q': {'d': 1}}), ranx.Run({'q': {'d': 1.}}))
        build, (made_qrels, made_run) = best(lambda: (ranx.Qrels(qrels), ranx.Run(run)))
        score, theirs = best(evaluated, made_qrels, made_run)
        whole, _ = best(lambda: evaluated(ranx.Qrels(qrels), ranx.Run(run)))
        apart = {k: float(np.abs(theirs[k] - mine[k]).max()) for k in KEYS}
        line('ranked and scored, from arrays | Qrels and Run', array, score)
        line('ranked and scored, from dicts', dicts, whole)
        print(f'building Qrels and Run from dicts: {build:.3f} s; farthest apart: {max(apart.values()):.1e} ({max(apart, key=apart.get)})')
    else:
        line('ranked and scored, from arrays', array)
        line('ranked and scored, from dicts', dicts)
    a, b, passage = rng.random(QUESTIONS), rng.random(QUESTIONS), (np.arange(QUESTIONS) % PASSAGES).astype(str)
    sums, sizes = _by_group((a - b)[None], passage)
    alone = (a - b)[None]
    print(f'{QUESTIONS:,} questions on {len(sizes)} passages, {SAMPLES:,} samples')
    line('clustered bootstrap', best(_resampled, sums, sizes, SAMPLES, rng)[0])
    line('paired_difference: bootstrap, test and all', best(paired_difference, a, b, passage)[0])
    mine = best(_sign_flip_p, alone, SAMPLES, rng)[0]
    if ranx:
        from ranx.statistical_tests import fisher_randomization_test as fisher
        fisher(a[:10], b[:10], 10)
        line('randomisation test, each question for itself', mine, best(fisher, a, b, SAMPLES)[0])
    else: line('randomisation test, each question for itself', mine)

if __name__ == '__main__': main(*map(int, sys.argv[1:] or (1000, 1000)))
