"Does a hybrid keep what its better half has? On real KorQuAD, with a model that hardly reads Korean and with one that knows the answers."
import json
import numpy as np, pytest
from korembed.certainty import paired_difference
from korembed.data import read_qa
from korembed.evaluation import evaluate, load_exam, score_runs
from korembed.fusion import blend, cross_blend, fuse, tune_weight
from korembed.metrics import PRIMARY
from korembed.model import Embedder
from korembed.retrieval import rank_bm25, rank_dense
from korembed.text import write_json

@pytest.fixture(scope='module')
def part(korquad, tmp_path_factory):
    "Six articles, two passages of each."
    data = json.loads(korquad.read_text(encoding='utf-8'))['data'][:6]
    return write_json(tmp_path_factory.mktemp('korquad')/'part.json', dict(data=[a | dict(paragraphs=a['paragraphs'][:2]) for a in data]))

@pytest.fixture(scope='module')
def exam(part):
    exam, about = load_exam(part, ['offline'], 'chunk', 100, 20)
    assert len(set(about['articles'].values())) == 6 and set(about['articles']) == set(exam.queries)
    return exam, about['articles']

@pytest.fixture(scope='module')
def halves(exam):
    queries, corpus = exam[0].queries, exam[0].corpus
    return rank_bm25(queries, corpus), rank_dense(Embedder('offline', device='cpu'), queries, corpus)

def knowing(exam, dense):
    "A model that puts the right chunk first, for all but every tenth question."
    lifted = {q: sorted([(d, s + (d in exam.relevant_docs[q])) for d, s in r], key=lambda x: -x[1]) for q, r in dense.items()}
    return {q: dense[q] if i % 10 == 0 else r for i, (q, r) in enumerate(lifted.items())}

def against_the_better(exam, articles, bm25, dense):
    hybrid, weights = cross_blend(bm25, dense, exam.relevant_docs, articles)
    runs = dict(bm25=bm25, dense=dense, rrf=fuse(bm25, dense), hybrid=hybrid)
    scores = {s: f[PRIMARY].to_numpy() for s, f in score_runs(exam, runs).items()}
    better = max(('bm25', 'dense'), key=lambda s: scores[s].mean())
    of = lambda s: paired_difference(scores[s], scores[better], [exam.groups[q] for q in exam.queries])
    return better, of('hybrid'), of('rrf'), weights

def test_a_weak_model_costs_nothing(exam, halves):
    better, hybrid, rrf, weights = against_the_better(*exam, *halves)
    assert better == 'bm25' and len(weights) == 5 and max(weights) < .5
    assert hybrid['difference'] >= -.005 and hybrid['interval'], hybrid
    assert rrf['difference'] < -.1, rrf   # what the blend is for

def test_a_strong_model_is_not_held_back(exam, halves):
    bm25, dense = halves[0], knowing(exam[0], halves[1])
    better, hybrid, rrf, weights = against_the_better(*exam, bm25, dense)
    assert better == 'dense' and hybrid['difference'] >= -.005, hybrid
    assert hybrid['difference'] > rrf['difference']

def test_no_weight_is_chosen_on_its_own_article(exam, halves):
    "Give one article other labels: its own questions are ranked as before."
    exam, articles = exam
    bm25, dense = halves
    one = sorted(set(articles.values()))[3]
    # whatever the model says is right: had it a say, the article's own weight would go to 1
    wrong = {q: {dense[q][0][0]} if articles[q] == one else r for q, r in exam.relevant_docs.items()}
    (before, _), (after, _) = (cross_blend(bm25, dense, r, articles) for r in (exam.relevant_docs, wrong))
    mine = [q for q in bm25 if articles[q] == one]
    assert mine and all(before[q] == after[q] for q in mine)

def test_evaluate_says_how_the_hybrid_was_made(part, tmp_path):
    few = json.loads(part.read_text(encoding='utf-8'))['data'][:3]
    data = write_json(tmp_path/'few.json', dict(data=[a | dict(paragraphs=a['paragraphs'][:1]) for a in few]))
    result = evaluate(['offline'], data, unit='chunk', chunk_size=100, chunk_overlap=20, device='cpu')
    made = result['hybrid']['hybrid_base']
    assert made['method'] == 'cross-fitted blend' and made['across'] == 'article' and len(made['weights']) == 3
    assert made['mean'] == round(np.mean(made['weights']), 4)
    assert 'articles' not in result and json.loads(json.dumps(result))['hybrid'] == result['hybrid']

def test_order_and_ties_are_those_of_the_halves(halves):
    bm25, dense = halves
    for weight, half in ((0, bm25), (1, dense)):
        made = blend(bm25, dense, weight)
        for q, r in half.items(): assert [d for d, _ in made[q]][:len(r)] == [d for d, _ in r], q

def test_the_curve_is_what_ranking_by_each_weight_gives(exam, halves):
    weights = (0, .3, .65, 1)
    _, curve = tune_weight(*halves, exam[0].relevant_docs, weights)
    slow = score_runs(exam[0], {str(w): blend(*halves, w) for w in weights})
    assert np.allclose(list(curve.values()), [slow[str(w)][PRIMARY].mean() for w in weights], atol=1e-6)
