"Metrics against trec_eval and sentence-transformers where scores tie, what must hold whatever the ranking, and how often certainty errs."
import numpy as np, pytest, pytrec_eval
from hypothesis import given, settings, strategies as st
from scipy.special import stdtrit
from korembed.certainty import POWER, holm, paired_difference
from korembed.metrics import METRICS, gains, ideal_gains, rank_metrics, top_k

KS, KEYS = (1, 3, 5, 10, 100), [f'{m}@{k}' for m in METRICS for k in (1, 3, 5, 10, 100)]

@pytest.fixture(scope='module')
def tied():
    "Scores (150, 60) with some seven documents on each, and grades 0 to 3, at least one of them above 0."
    rng = np.random.default_rng(0)
    grades = rng.choice(4, (150, 60), p=[.8, .1, .06, .04])
    grades[np.arange(150), rng.integers(0, 60, 150)] = 2
    grades[0] = 1   # a query with more right documents than k
    return rng.integers(0, 9, (150, 60)).astype(float) + grades // 3, grades

def ours(scores: np.ndarray, grades: np.ndarray, keys: list[str] = KEYS):
    return rank_metrics(np.take_along_axis(grades, top_k(scores, 100), 1), grades, keys)

def trec(scores: np.ndarray, grades: np.ndarray, ids: list[str]) -> dict[str, np.ndarray]:
    "What trec_eval says, under our keys. Of tied documents it takes the one with the greater id first."
    told = lambda table, kind: {f'{q:03}': {d: kind(v) for d, v in zip(ids, row)} for q, row in enumerate(table)}
    cut = lambda name: f'{name}.' + ','.join(map(str, KS))
    judge = pytrec_eval.RelevanceEvaluator(told(grades, int), {*map(cut, ('ndcg_cut', 'recall', 'P', 'map_cut', 'success')), 'recip_rank'})
    found = judge.evaluate(told(scores, float))
    of = lambda name: np.array([found[q][name] for q in sorted(found)])
    n, out = (grades > 0).sum(1), {'mrr@100': of('recip_rank')}
    for k in KS:
        p, r = of(f'P_{k}'), of(f'recall_{k}')
        out |= {f'ndcg@{k}': of(f'ndcg_cut_{k}'), f'recall@{k}': r, f'precision@{k}': p, f'f1@{k}': 2 * p * r / np.maximum(p + r, 1e-300),
                f'hit_rate@{k}': of(f'success_{k}'), f'accuracy@{k}': of(f'success_{k}'),
                f'map@{k}': of(f'map_cut_{k}') * n / np.minimum(n, k)}   # trec_eval divides by all right documents
    return out

def test_trec_eval_with_its_ties_made_ours(tied):
    ids = [f'{99 - j}' for j in range(60)]   # the first in the corpus has the greatest id
    mine, theirs = ours(*tied), trec(*tied, ids)
    assert set(theirs) == set(KEYS) - {f'mrr@{k}' for k in KS[:-1]}
    for key, values in theirs.items(): np.testing.assert_allclose(mine[key], values, rtol=0, atol=1e-9, err_msg=key)
    for k in KS[:-1]:   # it knows no cut for the reciprocal rank: 0 where the first right one stands below k
        np.testing.assert_allclose(mine[f'mrr@{k}'], np.where(theirs['mrr@100'] * k > 1 - 1e-9, theirs['mrr@100'], 0), rtol=0, atol=1e-9)
    assert np.abs(mine['ndcg@10'] - trec(*tied, ids[::-1])['ndcg@10']).mean() > .05   # so the tie rule does matter here

def test_sentence_transformers_with_its_ties_made_ours(tied):
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    scores, right = tied[0], tied[1] > 0
    ids = [f'{10 + j}' for j in range(60)]   # of tied documents it takes the one with the smaller id first
    names = {'accuracy': 'accuracy', 'precision_recall': 'precision', 'mrr': 'mrr', 'ndcg': 'ndcg', 'map': 'map'}
    judge = InformationRetrievalEvaluator({str(q): '' for q in range(150)}, dict.fromkeys(ids, ''),
                                          {str(q): {ids[j] for j in np.flatnonzero(row)} for q, row in enumerate(right)},
                                          **{f'{n}_at_k': list(KS) for n in names})
    said = judge.compute_metrics([[dict(corpus_id=d, score=s) for d, s in zip(ids, row)][::-1] for row in scores])
    mine = ours(scores, right).mean()
    for name in (*names.values(), 'recall'):
        for k in KS: assert abs(said[f'{name}@k'][k] - mine[f'{name}@{k}']) < 1e-9, (name, k)

# ---- what holds whatever the ranking

grades = st.lists(st.integers(0, 3), min_size=1, max_size=30)
quick = settings(max_examples=60, derandomize=True, deadline=None)
every = lambda k: [f'{m}@{k}' for m in METRICS]

@quick
@given(grades.filter(any), st.integers(1, 40), st.randoms())
def test_perfect_is_1_and_reversed_the_bound(row, k, random):
    best, worst, some = sorted(row, reverse=True), sorted(row), random.sample(row, len(row))
    top, low, mid = rank_metrics(np.array([best, worst, some]), np.array([row] * 3), every(k)).to_numpy()
    n = sum(g > 0 for g in row)
    bound = {'recall': min(k, n) / n, 'precision': min(k, n) / k, 'f1': 2 * min(k, n) / (k + n)}   # 1 only where k is n
    np.testing.assert_array_equal(top, [bound.get(m, 1) for m in METRICS])
    assert (low <= mid).all() and (mid <= top).all()

@quick
@given(st.integers(1, 30), st.integers(0, 29))
def test_one_right_passage_never_falls_with_k(depth, place):
    found = np.arange(depth)[None] == place   # nowhere, if place lies beyond depth
    for m in set(METRICS) - {'precision', 'f1'}:
        values = rank_metrics(found, np.array([1]), [f'{m}@{k}' for k in range(1, 40)]).to_numpy()[0]
        assert (np.diff(values) >= 0).all() and values[-1] > 0 if place < depth else (values == 0).all(), m

table = st.integers(2, 20).flatmap(lambda n: st.tuples(st.lists(st.integers(0, 3), min_size=n, max_size=n),
                                                       st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any)))

@quick
@given(table, st.integers(1, 25), st.randoms())
def test_ties_may_come_in_any_order(scored, k, random):
    scores, worth = map(np.array, scored)
    before = ours(scores[None], worth[None], every(k))
    # the corpus in another order, but documents of one score as they stood to each other: nothing changes
    first = random.sample(range(4), 4)
    dealt = np.array(sorted(range(len(scores)), key=lambda j: first[scores[j]]))
    assert ours(scores[dealt][None], worth[dealt][None], every(k)).equals(before)
    # those of one score and one grade may change places
    swapped = np.array(sorted(range(len(scores)), key=lambda j: (scores[j], worth[j], random.random())))
    place = np.array(sorted(range(len(scores)), key=lambda j: (scores[j], worth[j])))
    moved = np.empty(len(scores), int); moved[place] = swapped
    assert ours(scores[moved][None], worth[moved][None], every(k)).equals(before)

@quick
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20).filter(any), st.randoms())
def test_names_do_not_matter(row, random):
    docs = [f'{j}' for j in range(len(row))]
    renamed = dict(zip(docs, random.sample([f'문서{j}' for j in range(100)], len(docs))))
    right = {d: g for d, g in zip(docs, row) if g}
    of = lambda name: rank_metrics(gains([[name(d) for d in docs]], [{name(d): g for d, g in right.items()}]),
                                   ideal_gains([{name(d): g for d, g in right.items()}]))
    assert of(str).equals(of(renamed.get))

@quick
@given(table, st.integers(1, 25))
def test_top_k_is_a_sorted_list(scored, k):
    scores = np.array(scored)
    assert top_k(scores, k).tolist() == [sorted(range(len(row)), key=lambda j: (-row[j], j))[:k] for row in scored]

# ---- how often certainty errs, on 1,000 sets of 40 passages with one to eleven questions each

@pytest.fixture(scope='module')
def sets():
    "NDCG@10 of two systems (1000, questions, 2) that do not differ, and the passages. Each system likes some passages better than others."
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), rng.integers(1, 12, 40))
    passage, question = rng.normal(1, 1, (1000, 40, 1)) + rng.normal(0, .6, (1000, 40, 2)), rng.normal(0, 1, (1000, len(group), 1))
    rank = np.ceil(np.exp(passage[:, group] + question + rng.normal(0, .5, (1000, len(group), 2))))
    return np.where(rank <= 10, 1 / np.log2(1 + rank), 0), group

def verdicts(sets: np.ndarray, group: np.ndarray, gain: float = 0.) -> dict[str, float]:
    said = [paired_difference(s[:, 0] + gain, s[:, 1], group, n_samples=999, seed=i)['verdict'] for i, s in enumerate(sets)]
    return {v: said.count(v) / len(said) for v in ('helps', 'hurts', 'cannot tell')}

def test_false_alarms_are_as_rare_as_promised(sets):
    scores, group = sets
    found = verdicts(scores, group)
    assert .03 <= found['helps'] + found['hurts'] <= .07
    assert min(found['helps'], found['hurts']) > .01   # on both sides

def test_questions_taken_for_themselves_raise_false_alarms(sets):
    scores, group = sets
    assert 1 - verdicts(scores, np.arange(len(group)))['cannot tell'] > .25

def test_a_gain_is_found_with_the_power_stated(sets):
    scores, group = sets
    means = (scores[..., 0] - scores[..., 1]).mean(1)
    gain = (stdtrit(39, .975) + stdtrit(39, POWER)) * means.std()   # the true standard error: the scatter of 1,000 sets
    said = [paired_difference(s[:, 0], s[:, 1], group, n_samples=1)['smallest'] for s in scores]
    assert abs(np.mean(said) / gain - 1) < .05
    found = verdicts(scores, group, gain)
    assert abs(found['helps'] - POWER) < .05 and found['hurts'] == 0

@quick
@given(st.lists(st.floats(0, 1), max_size=12), st.randoms())
def test_holm_keeps_order_and_never_lowers(p, random):
    adjusted = holm(p)
    assert all(a >= x - 1e-6 and a <= 1 for a, x in zip(adjusted, p))
    turn = random.sample(range(len(p)), len(p))
    assert holm([p[i] for i in turn]) == [adjusted[i] for i in turn]
    assert all(adjusted[i] <= adjusted[j] for i in range(len(p)) for j in range(len(p)) if p[i] <= p[j])
