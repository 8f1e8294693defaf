"Broken, hostile and hurried reading: what a notebook should not show."
import importlib.util, json, os, random, signal, subprocess, sys, time, unicodedata, zipfile
from collections import Counter
from pathlib import Path
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from korembed import data
from korembed.data import describe, load_parts, prepare, read_qa, sample_path, split
from korembed.formats import find_parts, read_bytes_as
from korembed.text import InputError, chunk_text, clean_text, html_to_text

more = os.environ.get('KOREMBED_EXAMPLES')   # how many to draw afresh; without it the same few every time
quick = settings(max_examples=int(more or 150), derandomize=not more, deadline=None, suppress_health_check=list(HealthCheck))
korean = st.text(st.one_of(st.sampled_from('한글은 세종이 만들었다. 3.14 “다.” ㄱㅏ가각\n\t👍🏽\u200b\u1100\u1161\u11a8\ud800<>&;|-'), st.characters()), max_size=300)

@pytest.fixture(scope='session')
def bench(root):
    "The benchmark's generator of KorQuAD 2.1."
    spec = importlib.util.spec_from_file_location('read', root/'benchmarks'/'read.py')
    module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
    return module

# ---- text

tags = st.sampled_from(['<p>', '</p>', '<table>', '<tr>', '<td>', '</td>', '</table>', '<li>', '<!--', '-->', '<script>', '</script>', '<a title="x>y">', '</a>',
                        '<template>', '</template>', '&amp;', '&#xfdd1;', '&#64976;', '<plaintext', '<sup>[1]</sup>', '[편집]', '<', '>', '"', '\x00', '\ufdd4'])
pages = st.lists(st.one_of(tags, korean), max_size=30).map(''.join)

@quick
@given(pages, st.randoms())
def test_any_page_is_read_the_same_with_spans_and_without(page, rng):
    text, _ = html_to_text(page)
    spans = [tuple(sorted(rng.choices(range(len(page) + 1), k=2))) for _ in range(4)]
    again, found = html_to_text(page, spans)
    if '<table>' in page: assert ''.join(again.split()) == ''.join(text.split())   # text outside its cells is moved, and a mark parts its blanks
    else: assert again == text
    assert not set(text) & set(map(chr, range(0xfdd0, 0xfdf0)))
    for span in found: assert span is None or 0 <= span[0] < span[1] <= len(text)
    text.encode()   # can be written

@quick
@given(korean)
def test_clean_text_is_done_after_once(text):
    once = clean_text(text)
    assert clean_text(once) == once and unicodedata.is_normalized('NFC', once)

# ---- files

good = json.dumps(dict(data=[dict(title='한글', paragraphs=[dict(context='한글은 세종이 만들었다.', qas=[
    dict(id='1', question='누가 만들었나?', answers=[dict(text='세종', answer_start=4)])])])]), ensure_ascii=False).encode()
table = '질문,답변\n누가?,세종\n'.encode()

@quick
@given(st.sampled_from([good, table, sample_path('train/html.json').read_bytes()[:3000]]), st.data())
def test_damaged_files_are_refused_in_one_line_or_read(data, draw):
    at = draw.draw(st.integers(0, len(data)))
    data = data[:at] + draw.draw(st.binary(max_size=6)) + data[at + draw.draw(st.integers(0, 40)):]
    try: rows = list(read_bytes_as(data, 'f.json')[1])
    except InputError as e: assert str(e).startswith('f.json') and '\n' not in str(e); return
    for r in rows: assert 'reason' in r or r['context'][r['answer_start']:][:len(r['answer'])] == r['answer'] or r['answer_start'] == -1

@quick
@given(st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)), lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(st.sampled_from('data paragraphs context qas answers answer text answer_start question title id queries '
    'corpus relevant_docs pos neg query content is_impossible'.split()), inner, max_size=5)), max_leaves=20))
def test_json_of_any_shape_is_refused_or_read(obj):
    try: list(read_bytes_as(json.dumps(obj).encode(), 'f.json')[1])
    except InputError as e: assert '\n' not in str(e)

def test_a_hundred_megabytes_on_one_line(tmp_path, monkeypatch):
    article = dict(title='큰 글', paragraphs=[dict(context='가나다 ' * 300, qas=[dict(id='1', question='무엇?', answers=[dict(text='나다', answer_start=1)])])])
    one = json.dumps(article, ensure_ascii=False)
    (tmp_path/'big.json').write_text('{"data": [' + ','.join([one] * (100 * 2**20 // len(one.encode()))) + ']}', encoding='utf-8')
    assert (tmp_path/'big.json').stat().st_size > 99 * 2**20
    monkeypatch.setenv('KOREMBED_CACHE', str(tmp_path/'cache'))
    gather, times = data._gather, []
    monkeypatch.setattr(data, '_gather', lambda *args: times.append(1) or gather(*args))
    qa = read_qa(tmp_path/'big.json')
    assert len(read_qa(tmp_path/'big.json')) == len(qa) > 30_000 and len(times) == 1   # what was read is kept

def test_korquad21_reads_the_same_as_folder_and_as_zip(bench, tmp_path, monkeypatch):
    monkeypatch.setenv('KOREMBED_CACHE', str(tmp_path/'cache'))
    files = bench.write_korquad21(tmp_path/'unpacked', 130, per_file=26)   # 20 MiB: large enough for several processes
    with zipfile.ZipFile(tmp_path/'KorQuAD_2.1_train_00.zip', 'w', zipfile.ZIP_DEFLATED) as z:
        for f in files: z.write(f, f.name)
    folder, packed = read_qa(tmp_path/'unpacked'), read_qa(tmp_path/'KorQuAD_2.1_train_00.zip')
    assert len(folder) == 260 and folder.remove_columns('source')[:] == packed.remove_columns('source')[:]
    said = [describe(tmp_path/p) for p in ('unpacked', 'KorQuAD_2.1_train_00.zip')]
    assert said[0] == said[1] and said[0]['format'] == 'korquad-2.1' and not said[0]['rejected']
    for r in folder.select(range(0, 260, 13)): assert r['context'][r['answer_start']:][:len(r['answer'])] == r['answer']

def test_every_answer_of_real_korquad_is_placed(korquad):
    said = describe(korquad)
    assert said['rows'] == 4523 and set(said['rejected']) == {'paragraph has no question'} and said['format'] == 'korquad-1.0'

# ---- splits

@quick
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8), st.integers(0, 12)), min_size=2, max_size=40), st.floats(.1, .9), st.integers(0, 3), st.randoms())
def test_split_never_tears_what_belongs_together(rows, share, seed, rng):
    from datasets import Dataset
    text = lambda n: f'{n}번째 이야기는 {n * 7919}년에 일어난 일이다. ' * 3
    table = [dict(id=str(i), question=f'{q * 104729}은 무엇인가', answer='', context=text(p), title=f'글 {t}', answer_start=-1, source='') for i, (t, p, q) in enumerate(rows)]
    try: parts = split(Dataset.from_list(table), share, seed)
    except InputError as e: assert 'only one article' in str(e); return
    for column in ('title', 'context', 'question'): assert not set(parts['train'][column]) & set(parts['validation'][column])
    rng.shuffle(table)
    assert {k: set(v['id']) for k, v in split(Dataset.from_list(table), share, seed).items()} == {k: set(v['id']) for k, v in parts.items()}

def test_prepare_on_real_korquad_leaks_nothing(korquad, tmp_path):
    made = prepare(korquad, tmp_path/'out')
    assert made['rows'] <= 4523 and made['overlap'] == dict(articles=0, passages=0, questions=0, near_duplicates=0, near_questions=0)
    rejects = [json.loads(l) for l in (tmp_path/'out'/'rejects.jsonl').read_text(encoding='utf-8').splitlines()]
    assert Counter(r['reason'] for r in rejects) == made['rejected'] and made['rows'] + sum(r['where'].startswith('korquad') is False for r in rejects) == 4523

@pytest.mark.parametrize('manifest', ['{"name": "my web app"}', '["a"]', '{"setting": "unseen", "language": "ko", "parts": {}}', 'broken'])
def test_prepare_replaces_only_what_it_wrote(manifest, tmp_path):
    (out := tmp_path/'site').mkdir()
    (out/'manifest.json').write_text(manifest); (out/'index.html').write_text('mine')
    with pytest.raises(InputError, match='site: a folder with other things in it'): prepare(sample_path('train/html.json'), out)
    assert (out/'index.html').read_text() == 'mine'

def test_what_is_kept_of_texts_is_for_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setenv('KOREMBED_CACHE', str(tmp_path/'cache'/'korembed')); monkeypatch.setattr(data, '_large', 1000)
    read_qa(sample_path('train/html.json'))
    kept = [p for p in (tmp_path/'cache').rglob('*') if p.is_file()]
    assert kept and all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path/'cache', tmp_path/'cache'/'korembed', tmp_path/'cache'/'korembed'/'qa'))

# ---- killed

SLOW_DISK = '''
import sys, time
from datasets import Dataset
from korembed import data
def slowly(f): return lambda *a, **kw: (time.sleep(.1), f(*a, **kw), time.sleep(.05))[1]
Dataset.to_parquet, data.write_json, data.write_retrieval_set = map(slowly, (Dataset.to_parquet, data.write_json, data.write_retrieval_set))
qa = data._read(sys.argv[1]); data._read = lambda *a: qa
print('go', flush=True)
data.prepare(sys.argv[1], sys.argv[2], train_split=float(sys.argv[3]))
'''

def test_killed_at_any_moment_prepare_leaves_the_old_or_the_new(tmp_path):
    source, out = sample_path('train/html.json'), tmp_path/'준비'
    def begin(folder, share):
        child = subprocess.Popen([sys.executable, '-c', SLOW_DISK, str(source), str(folder), str(share)], stdout=subprocess.PIPE)
        child.stdout.readline()
        return child, time.time()
    prepare(source, out, train_split=.5)
    child, began = begin(tmp_path/'whole', .5)
    child.wait(); whole = time.time() - began   # on a slow machine it takes longer
    rng, seen = random.Random(0), set()
    for n in range(8):
        child, _ = begin(out, (.6, .9)[n % 2])
        time.sleep(rng.random() * 1.2 * whole)
        child.kill(); child.wait()
        manifest = json.loads((out/'manifest.json').read_text(encoding='utf-8'))
        parts = load_parts(out)
        assert {k: len(v) for k, v in parts.items()} == {k: v['rows'] for k, v in manifest['parts'].items()}
        seen.add(manifest['train_split'])
    assert seen <= {.5, .6, .9} and len(seen) > 1 and child.returncode in (0, -signal.SIGKILL)

def test_the_part_of_korquad_is_rebuilt_from_a_larger_file(root, korquad, tmp_path):
    part = json.loads(korquad.read_text(encoding='utf-8'))
    larger = dict(part, data=[dict(title='남는 글', paragraphs=[])] + part['data'][::-1])
    (tmp_path/'dev.json').write_text(json.dumps(larger), encoding='utf-8')
    said = subprocess.run([sys.executable, root/'tools'/'korquad_part.py', tmp_path/'dev.json', tmp_path/'part.json'], capture_output=True, text=True, encoding='utf-8')
    assert '112 articles, 4523 questions' in said.stdout, said.stderr
    assert json.loads((tmp_path/'part.json').read_text(encoding='utf-8'))['data'] == part['data']
