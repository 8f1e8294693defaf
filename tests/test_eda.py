"The look at data as a user meets it: a page, numbers and pictures with legible Korean; one plain line when the input is wrong."
import io, json, re, subprocess, sys, time, warnings
import pytest
from PIL import Image
from test_cli import SMALL, korembed, refused
from test_pipeline import xlmr
from korembed import eda as room
from korembed.data import read_qa, sample_path
from korembed.text import InputError

PICTURES = {'lengths.png', 'types.png', 'passages.png', 'batches.png'}

@pytest.fixture(scope='module')
def looked(tmp_path_factory):
    "What the command left in a folder with a Korean name, and what it printed; a sign without a glyph is an error."
    home = tmp_path_factory.mktemp('eda')
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*[Gg]lyph')
        done = korembed('eda', sample_path('train/articles.json'), '--out', '살펴 보기', '--model', 'offline', '--json', cwd=home)
    assert done.returncode == 0, done.stderr
    return home/'살펴 보기', done

def test_page_numbers_and_pictures_are_there(looked):
    out, done = looked
    assert {p.name for p in out.iterdir()} == PICTURES | {'eda.md', 'eda.json'}
    assert set(re.findall(r'!\[\w+\]\((.+?)\)', (out/'eda.md').read_text(encoding='utf-8'))) == PICTURES

def test_json_prints_one_object_and_nothing_else(looked):
    out, done = looked
    said, end = json.JSONDecoder(parse_constant=pytest.fail).raw_decode(done.stdout)   # NaN is no JSON
    assert not done.stdout[end:].strip() and done.stdout.startswith('{')
    assert said == json.loads((out/'eda.json').read_text(encoding='utf-8'))
    assert (said['rows'], said['passages'], said['articles'], said['model']) == (576, 192, 96, 'offline')

def test_the_page_says_what_the_numbers_say(looked):
    out, done = looked
    d, page = json.loads(done.stdout), (out/'eda.md').read_text(encoding='utf-8')
    for part in ('lengths', 'token_lengths', 'question_types', 'answer_types', 'questions_per_passage', 'collisions'):
        for key, row in d[part].items():
            line = f"| {' | '.join([key, *('' if v is None else str(v) for v in row.values())])} |"
            assert line in page, (part, line)
    assert f"{d['token_lengths']['context']['cut']:.1%} of the passages are cut" in page

def test_pictures_are_valid_and_not_empty(looked):
    for name in PICTURES:
        with Image.open(looked[0]/name) as im: im.verify()
        with Image.open(looked[0]/name) as im:
            assert im.format == 'PNG' and im.width > 600 and im.height > 200
            assert len(im.convert('RGB').getcolors(2**24)) > 20, name

def test_korean_is_drawn(monkeypatch):
    "The same pictures in a font without Hangul warn of every sign: so silence above means that all were drawn."
    from matplotlib import rcParams
    qa = read_qa(SMALL)
    drawn = lambda: [room.plot_types(qa), room.plot_passages(qa), room.plot_batches(qa), room.plot_lengths(room.text_sizes(qa))]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for fig in drawn(): fig.savefig(io.BytesIO())
    monkeypatch.setattr(room, 'korean_font', lambda: rcParams.update({'font.family': ['DejaVu Sans']}))
    for fig in drawn():
        with pytest.warns(UserWarning, match='Glyph .* missing'): fig.savefig(io.BytesIO())

def test_without_a_model_nothing_of_it_is_needed(tmp_path):
    done = korembed('eda', SMALL, '--out', 'look', cwd=tmp_path)
    assert done.returncode == 0 and '93 questions on 14 passages of 14 articles' in done.stdout and 'eda.md' in done.stdout
    assert json.loads((tmp_path/'look'/'eda.json').read_text(encoding='utf-8'))['token_lengths'] == {}
    code = 'import sys; from korembed.eda import eda; eda(sys.argv[1], "again"); print(*sys.modules)'
    done = subprocess.run([sys.executable, '-c', code, SMALL], cwd=tmp_path, capture_output=True, text=True, encoding='utf-8')
    loaded = {m.split('.')[0] for m in done.stdout.split()}
    assert 'korembed' in loaded and not loaded & {'torch', 'transformers', 'sentence_transformers'}, done.stderr

def test_the_data_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv('DATASET_ROOT', str(SMALL))
    assert json.loads(korembed('eda', '--out', 'look', '--json', cwd=tmp_path).stdout)['rows'] == 93
    monkeypatch.delenv('DATASET_ROOT')
    refused('eda', '--out', 'look', cwd=tmp_path, names=['DATASET_ROOT'])

def test_the_prompt_takes_its_share_of_the_limit(tmp_path):
    "What is seen fits with the prompt, a few characters more do not; answers are hidden accordingly."
    from korembed.model import count_tokens, load_model
    qa, model = read_qa(sample_path('train/articles.json')), load_model(str(xlmr(tmp_path/'multilingual-e5-small')), max_seq_length=64)
    assert model.prompts['passage'] == 'passage: '
    passages = list(dict.fromkeys(qa['context']))
    seen = room._seen(model, passages)
    size = lambda more: [n - 64 for n in count_tokens(model, [p[:s + more] for p, s in zip(passages, seen)], 'passage: ')]
    assert max(size(0)) <= 1 and min(size(20)) > 0   # one more where a word is cut in two
    unseen, end = room.answers_unseen(qa, model), dict(zip(passages, seen))
    assert list(unseen) == [s + len(a) > end[c] for s, a, c in zip(qa['answer_start'], qa['answer'], qa['context'])]
    assert 0 < unseen.mean() < 1
    plain = load_model(str(tmp_path/'multilingual-e5-small'), 'none', max_seq_length=64)
    assert room.answers_unseen(qa, plain).sum() < unseen.sum()
    assert (room.text_sizes(qa, plain)['tokens'] < room.text_sizes(qa, model)['tokens']).all()

@pytest.mark.parametrize('content,says', [('', ['bad.json', 'empty']), ('{"data": []}', ['bad.json']),
                                          (None, ['bad.json', 'no such file'])])
def test_bad_data_leaves_nothing(tmp_path, content, says):
    if content is not None: (tmp_path/'bad.json').write_text(content, encoding='utf-8')
    refused('eda', 'bad.json', '--out', 'out', cwd=tmp_path, names=says)
    assert not (tmp_path/'out').exists()

def test_a_model_that_is_none_leaves_nothing(tmp_path):
    refused('eda', SMALL, '--out', 'out', '--model', './nowhere', cwd=tmp_path, names=['nowhere', 'no model'])
    assert not (tmp_path/'out').exists()

def test_only_files_of_its_own_are_written(tmp_path):
    (tmp_path/'out').mkdir(); (tmp_path/'out'/'mine.txt').write_text('나의 글', encoding='utf-8')
    for _ in range(2): assert korembed('eda', SMALL, '--out', 'out', cwd=tmp_path).returncode == 0
    assert {p.name for p in (tmp_path/'out').iterdir()} == PICTURES | {'eda.md', 'eda.json', 'mine.txt'}
    (tmp_path/'file').write_text('나의 글', encoding='utf-8')
    refused('eda', SMALL, '--out', 'file', cwd=tmp_path, names=['file'])
    assert (tmp_path/'file').read_text(encoding='utf-8') == '나의 글'

def test_questions_without_passages_or_answers_or_one_alone():
    one = read_qa(SMALL).select([1])
    assert room.eda(one)['collisions']['16'] == dict(rate=0., false_negatives=0.)
    no_answer = room.eda(one.map(lambda r: dict(answer='', answer_start=-1)))
    assert no_answer['lengths']['answer']['count'] == 0 and no_answer['answer_types'] == no_answer['answer_position'] == {}
    no_passage = one.map(lambda r: dict(context=r['answer'], answer_start=0))
    assert room.eda(no_passage)['answer_position'] == {}
    for fig in (room.plot_lengths(room.text_sizes(one)), room.plot_types(one), room.plot_passages(no_passage),
                room.plot_batches(one)):
        fig.savefig(io.BytesIO())
    with pytest.raises(InputError, match='empty'): room.eda(one.select([]))

@pytest.mark.parametrize('answer,kind', [
    ('1592년 4월 13일', '날짜'), ('18세기 후반', '날짜'), ('1997년 가을', '날짜'), ('오전 9시 30분', '날짜'), ('2003.10.9', '날짜'), ('고려 말기', '날짜'),
    ('300만 원', '수'), ('3억 5천만 유로', '수'), ('6분 47초', '수'), ('약 100년', '수'), ('3분의 1', '수'), ('두 번째', '수'), ('-40도', '수'),
    ('몇 가지', '수'),
    ('알렉산데르 7세', '이름'), ('4·19 혁명', '이름'), ('네만 강', '이름'), ('한강', '이름'), ('세종', '이름'), ('마을 회관', '이름'), ('1월 혁명', '이름'),
    ('왕을 지키려고', '구절'), ('비가 오지 않아서', '구절'), ('물이 얼기 때문', '구절'), ('남쪽에서 온 배에 실려', '구절'),
    ('가: 나\n- 다: 라', '목록·표'), ('A4 | 210 | 297', '목록·표'), ('  ', ''), ('1443년', '날짜')])
def test_forms_of_answers(answer, kind): assert room.answer_type(answer) == kind

@pytest.mark.parametrize('unit', ['1', '1.', '1,', '1 ', '1.1 ', '약 1 ', '만', '1만 ', '1 만 ', '1만', '약', '1~', '수 ', '1일 ', '1월 ', '초'])
def test_an_answer_of_thousands_of_digits_takes_no_time(unit):
    began = time.time()
    assert room.answer_type(unit * (5000 // len(unit)) + 'x') in ('이름', '구절') and time.time() - began < 2

def test_a_page_of_numbers_holds_no_markup_of_the_texts(tmp_path):
    rows = [dict(question='<img src=x onerror=alert(1)> ![a](http://a.example/b.png) 누구?', answer='가', context=f'가 나 {i}', title='<b>t|x</b>') for i in range(3)]
    (tmp_path/'a.jsonl').write_text(''.join(json.dumps(r, ensure_ascii=False) + '\n' for r in rows), encoding='utf-8')
    room.eda(tmp_path/'a.jsonl', tmp_path/'out')
    page = (tmp_path/'out'/'eda.md').read_text(encoding='utf-8')
    assert '&lt;img src=x onerror=alert(1)&gt;' in page and '&lt;b&gt;t\\|x&lt;/b&gt;' in page and not re.search('<(img|b)|[^!]!?\\[a\\]\\(', page)
