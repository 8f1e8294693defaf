"The embeddings client against a loopback service that fails as real ones do."
import os, sqlite3, subprocess, sys, threading, time, traceback
import numpy as np, pytest
from openai import OpenAI
from openai_server import KEY, serve, vector
from korembed import openai_client as room
from korembed.openai_client import RemoteEmbedder, embed_texts, openai_client, openai_key
from korembed.text import InputError

TEXTS = ['한강은 서울을 지난다.', '경복궁은 종로에 있다.', '한강은 서울을 지난다.', '김치는 배추로 담근다.']

pytestmark = pytest.mark.usefixtures('alone')

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
    assert part in said and asked == (1 if part == 'not the answer' else 2)   # what may be a slip is asked for once more

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
    for status in (401, 400):
        said, _ = refusal(lambda *_: (status, dict(error=dict(message='Incorrect API key provided: sk-very*****-key.'))))
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

MANY = [f'{i}번째 글. ' + '한강은 서울을 지난다. ' * 60 for i in range(400)]   # some 2,000 bytes each: three requests

@pytest.mark.parametrize('headers, least', [
    ({'retry-after-ms': 700}, .7), ({'retry-after': '1'}, 1.), ({'x-ratelimit-reset-tokens': '700ms'}, .7),
    ({'x-ratelimit-remaining-requests': 0, 'x-ratelimit-reset-requests': '0.7s', 'x-ratelimit-remaining-tokens': 9,
      'x-ratelimit-reset-tokens': '9s'}, .7),
])
def test_the_service_says_when_to_ask_again(own, headers, least):
    "Left alone the library would wait at most .5 s after the first failure."
    with serve(twist=lambda n, s, b: (429, {}, headers) if n == 0 else (s, b)) as (url, received):
        embed_texts(TEXTS, client=own(url))
    waited = received.at[1] - received.at[0]
    assert len(received) == 2 and least <= waited < least + 4 and sum(received.paid.values()) == 3, waited

def test_no_credit_is_not_asked_again(own):
    no = lambda *_: (429, dict(error=dict(message='You exceeded your current quota', code='insufficient_quota')))
    with serve(twist=no) as (url, received), pytest.raises(InputError, match='no credit left; add'): embed_texts(TEXTS, client=own(url))
    assert len(received) == 1

def test_four_requests_at_a_time_and_no_more(own):
    now, most, lock, four = [0], [0], threading.Lock(), threading.Barrier(4)
    def slow(n, s, b):
        with lock: now[0] += 1; most[0] = max(most + now)
        if n < 4: four.wait(10)   # comes back only if four are there together
        time.sleep(.3)   # a fifth would come meanwhile
        with lock: now[0] -= 1
        return s, b
    texts = [f'{i} ' + '글' * 2700 for i in range(36 * 6)]
    with serve(twist=slow) as (url, received): got = embed_texts(texts, client=own(url, 20))
    assert len(received) == 6 and most[0] == 4
    np.testing.assert_allclose(got[::50], expected(texts[::50]), atol=1e-6)

def test_everything_goes_wrong_once_and_each_text_is_paid_once(own):
    "Answers of the wrong shape are charged, too: those texts are paid again, and only those."
    wrong = {0: lambda b: ('hang', b), 1: lambda b: ('cut', b), 2: lambda b: (500, {}), 3: lambda b: (429, {}, {'retry-after-ms': 5}),
             5: lambda b: (200, b | dict(data=b['data'][::-1]))}
    with serve(twist=lambda n, s, b: wrong[n](b) if n in wrong else (s, b)) as (url, received):
        embed = RemoteEmbedder(client=own(url, 1.5))
        got = embed(MANY)
    np.testing.assert_allclose(got, expected(MANY), atol=1e-6)
    assert set(received.paid) == set(MANY) and set(received.paid.values()) == {1}
    assert embed.ledger['texts'] == 400 and embed.ledger['requests'] == len(received) - 4 == 3
    assert embed.ledger['tokens'] == sum(len(t.encode()) for t in MANY)

@pytest.mark.parametrize('slip', [lambda d: d[:-1], lambda d: [d[0] | dict(embedding=[1.])] + d[1:],
                                  lambda d: [d[0] | dict(embedding=base64_nan())] + d[1:]])
def test_a_slip_is_asked_for_once_more(own, slip):
    with serve(twist=lambda n, s, b: (s, b | dict(data=slip(b['data']))) if n == 0 else (s, b)) as (url, received):
        embed = RemoteEmbedder(client=own(url))
        np.testing.assert_allclose(embed(TEXTS), expected(TEXTS), atol=1e-6)
    assert len(received) == 2 and embed.ledger['requests'] == 2   # both were charged
    assert embed.ledger['tokens'] == 2 * sum(len(t.encode()) for t in set(TEXTS))

def base64_nan():
    import base64
    return base64.b64encode(np.full(64, np.nan, '<f4').tobytes()).decode()

def test_after_a_failure_only_the_rest_is_paid(own):
    broken = lambda n, s, b: (s, b) if n in (0, 1) else (400, dict(error=dict(message='no')))
    with serve(twist=lambda *a: now(*a)) as (url, received):
        now = broken
        with pytest.raises(InputError, match='failed'): embed_texts(MANY, client=own(url))
        paid = sum(received.paid.values())
        assert 0 < paid < 400
        now = lambda n, s, b: (s, b)
        again = RemoteEmbedder(client=own(url))
        np.testing.assert_allclose(again(MANY), expected(MANY), atol=1e-6)
        assert set(received.paid.values()) == {1} and again.ledger['cached'] == paid and again.ledger['texts'] == 400 - paid
        asked = len(received)
        assert embed_texts(MANY, 'another-model', own(url)).shape == (400, 64) and len(received) > asked   # a model has its own

def test_the_limit_is_never_passed_however_many_ask_at_once(own):
    texts = [f'{i} ' + '글' * 2600 for i in range(36 * 12)]
    with serve() as (url, received):
        whole = RemoteEmbedder(client=own(url)).plan(texts)['cost']
        poor = RemoteEmbedder(client=own(url), max_cost=whole / 2)
        with pytest.raises(InputError, match='max_cost.*kept'): poor(texts)
        assert 0 < poor.ledger['cost'] <= whole / 2 and poor.ledger['cost'] > whole / 3
        assert poor.ledger['tokens'] == sum(len(t.encode()) * n for t, n in received.paid.items())   # nothing beside the ledger
        rest = RemoteEmbedder(client=own(url))
        rest(texts)
        assert rest.ledger['cached'] == poor.ledger['texts'] and set(received.paid.values()) == {1}

def test_a_limit_that_suffices_is_not_hit_because_much_is_under_way(own):
    "Tokens are a third of the bytes here; together the requests could cost more than the limit, one after the other they do not."
    third = lambda b: b | dict(usage=dict(prompt_tokens=b['usage']['prompt_tokens'] // 3))
    texts = [f'{i} ' + '글' * 2600 for i in range(36 * 6)]
    with serve(twist=lambda n, s, b: (s, third(b))) as (url, received):
        most = RemoteEmbedder(client=own(url)).plan(texts)['cost']
        embed = RemoteEmbedder(client=own(url), max_cost=most * .55)
        embed(texts)
        assert len(received) == 6 and embed.ledger['cost'] == pytest.approx(most / 3, rel=1e-3)

def test_a_plan_needs_no_key_and_sends_nothing():
    with serve() as (url, received):
        plan = RemoteEmbedder().plan(TEXTS)
        assert plan == dict(texts=3, cached=0, tokens=sum(len(t.encode()) for t in set(TEXTS)), exact=False, cost=plan['cost'])
        assert plan['cost'] == pytest.approx(plan['tokens'] * .02 / 1e6) and not received
        with pytest.raises(InputError, match='no key'): RemoteEmbedder()(TEXTS)

def test_a_service_that_counts_no_tokens(own):
    with serve(twist=lambda n, s, b: (s, {k: v for k, v in b.items() if k != 'usage'})) as (url, _):
        embed = RemoteEmbedder(client=own(url)); embed(TEXTS)
    assert embed.ledger['tokens'] == sum(len(t.encode()) for t in set(TEXTS))   # at most

@pytest.mark.parametrize('spoil', [lambda p: p.write_bytes(b'no database ' * 500), lambda p: p.mkdir()])
def test_a_spoilt_cache_warns_and_stops_nothing(own, spoil, caplog):
    with serve() as (url, received):
        path = room._cache_file()
        path.parent.mkdir(exist_ok=True); spoil(path)
        embed = RemoteEmbedder(client=own(url))
        for _ in range(2): np.testing.assert_allclose(embed(TEXTS), expected(TEXTS), atol=1e-6)
    assert caplog.text.count('not kept: set KOREMBED_CACHE') == 1 and len(received) == 2

PROCESS = """
import sys
from korembed.openai_client import RemoteEmbedder
embed = RemoteEmbedder('m')
for i in range(12): embed([f'{sys.argv[1]} {i} {j}' for j in range(5)] + [f'both {i}'])
"""

def test_processes_share_the_cache(own, root):
    with serve() as (url, received):
        own(url)
        env = os.environ | dict(PYTHONPATH=str(root))
        some = [subprocess.Popen([sys.executable, '-c', PROCESS, str(n)], env=env, stderr=subprocess.PIPE, text=True) for n in range(3)]
        assert [p.communicate(timeout=120)[1] for p in some] == ['', '', ''] and not any(p.returncode for p in some)
        texts, asked = [t for r in received for t in r['input']], len(received)
        again = RemoteEmbedder('m', own(url))
        np.testing.assert_allclose(again(texts), expected(texts), atol=1e-6)
        assert len(received) == asked and again.ledger['cached'] == 3 * 60 + 12

def test_the_key_is_in_no_file_and_the_cache_holds_no_text(own, tmp_path):
    with serve() as (url, _):
        embed_texts(TEXTS, client=own(url))
        kept = room._cache_file().read_bytes()
        with sqlite3.connect(room._cache_file()) as db: assert db.execute('SELECT count(*) FROM vectors').fetchone() == (3,)
    assert KEY.encode() not in kept and not any(t.encode() in kept for t in TEXTS)

def test_tokens_are_counted_by_tiktoken_where_its_vocabulary_lies_here(monkeypatch, own):
    load, at_hand = pytest.importorskip('tiktoken.load'), pytest.importorskip('llama_index.core')
    monkeypatch.setattr(load, 'read_file', lambda *a: pytest.fail('downloads'))
    assert room._vocabulary('text-embedding-3-small') is None   # nothing there: nothing fetched
    monkeypatch.setenv('TIKTOKEN_CACHE_DIR', os.path.join(os.path.dirname(at_hand.__file__), '_static', 'tiktoken_cache'))
    known = room._vocabulary('text-embedding-3-small')
    texts = ['한강은 서울을 지난다.', '가힣뷁 😀' * 6000]
    fits = room._fit(texts, known)
    counts = room._count(fits, known)
    assert fits[0] == texts[0] and texts[1].startswith(fits[1]) and 8000 < counts[1] <= 8192 and '\ufffd' not in fits[1]
    assert counts[0] == len(known.encode(texts[0])) < len(texts[0].encode())
    with serve() as (url, _): assert RemoteEmbedder(client=own(url)).plan(texts[:1]) == dict(
        texts=1, cached=0, tokens=counts[0], exact=True, cost=pytest.approx(counts[0] * .02 / 1e6))
