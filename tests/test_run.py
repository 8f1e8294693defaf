"korembed run: the walk on a user's own documents, skipped where nothing changed, killed and started again."
import json, logging, shutil, time
import pytest
from processes import start
from test_cli import korembed, refused
from korembed.data import read_qa, retrieval_set, sample_path, write_retrieval_set
from korembed.doctor import check_settings
from korembed.evaluation import load_exam
from korembed.results import FILE
from korembed.runs import run_lock
from korembed.slices import flips
from korembed.text import InputError
from korembed.walk import _as_set, _generate, _setting, _train, example_walk, read_walk, run

@pytest.fixture(scope='module')
def few(tmp_path_factory):
    "Questions on a few articles, and the articles as documents."
    data, home = json.loads(sample_path('train/html.json').read_text(encoding='utf-8')), tmp_path_factory.mktemp('few')
    (home/'few.json').write_text(json.dumps(data | dict(data=data['data'][:6]), ensure_ascii=False), encoding='utf-8')
    for r in read_qa(home/'few.json'):
        (home/'문서').mkdir(exist_ok=True); (home/'문서'/f"{r['title']}.txt").write_text(r['context'], encoding='utf-8')
    (home/'문서'/'스캔.pdf').write_bytes(b'%PDF-1.7 nothing to read')
    return home/'few.json'

def paper(folder, few, train='', evaluate=''):
    "A small walk on questions and documents; eight steps, a checkpoint after every second."
    if not (folder/'문서').exists(): shutil.copytree(few.parent/'문서', folder/'문서')
    (folder/'my.toml').write_text(f'''
out = "걸음"
[data]
documents = "문서"
questions = {json.dumps(few.as_posix(), ensure_ascii=False)}
train_split = 0.6
chunk_size = 100
chunk_overlap = 20
[train]
model_name = "offline"
device = "cpu"
precision = "fp32"
train_split = 1.0
batch_size = 4
num_epochs = 2
max_samples = 16
save_steps = 2
lora_r = 4
{train}
[mine]
by = "bm25"
[evaluate]
judge = "lexical"
{evaluate}
''', encoding='utf-8')
    return folder/'my.toml'

def walked(folder, monkeypatch, caplog):
    "Run it here: the result, and one line for each stage."
    monkeypatch.chdir(folder)
    caplog.clear()
    with caplog.at_level(logging.INFO, 'korembed'): result = run('my.toml')
    lines = [m.split(':', 1) for m in caplog.messages if m.split(':')[0] in result['stages']]
    return result, {k: 'skipped' if v.startswith(' skipped') else 'done' for k, v in lines}

@pytest.fixture(scope='module')
def whole(few, tmp_path_factory):
    "The walk that nothing disturbed."
    folder = tmp_path_factory.mktemp('whole')
    paper(folder, few)
    with pytest.MonkeyPatch.context() as m:
        m.chdir(folder)
        return folder, run('my.toml')

def papers(folder):
    "What the last report stands on, without clock and machine."
    place = json.loads((folder/'걸음'/'stages.json').read_text(encoding='utf-8'))['evaluate']['place']
    result = json.loads((folder/'걸음'/place).read_text(encoding='utf-8'))
    assert (folder/'걸음'/place).with_name('report.html').is_file()
    return {k: v for k, v in result.items() if k != 'made_with'} | dict(training=result['training']['loss'])

STAGES = ['read', 'prepare', 'mine', 'train', 'index', 'evaluate', 'report']

def test_killed_in_the_training_and_after_it_the_papers_are_the_same(few, whole, tmp_path):
    paper(tmp_path, few)
    out = tmp_path/'걸음'
    for sign in ('runs/*/checkpoints/checkpoint-2/seal.json', 'runs/*/chroma_db/chroma.sqlite3'):
        walk = start('run', 'my.toml', cwd=tmp_path)
        while not list(out.glob(sign)):
            assert walk.poll() is None, walk.text()
            time.sleep(.01)
        walk.kill(); walk.communicate()
        assert not list(out.glob(f'runs/*/papers/{FILE}'))   # the kill came before the end
    done = korembed('run', 'my.toml', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'train: skipped' in done.stderr and 'index: skipped' not in done.stderr and 'Setting: unseen' in done.stdout
    a, b = papers(tmp_path), papers(whole[0])
    assert a == b, [k for k in b if a[k] != b[k]]
    runs = list(out.glob('runs/*/run.json'))
    assert len(runs) == 1 and json.loads(runs[0].read_text(encoding='utf-8'))['resumed_from'] >= 2   # it went on, it did not begin again

def test_only_what_a_change_touches_is_done_again(few, whole, monkeypatch, caplog):
    folder, first = whole
    assert [s.split(':')[0] for s in first['stages']['read']['left_out']] == ['스캔.pdf'] and 'left out: 1' in first['stages']['read']['said']
    assert list(first['stages']) == STAGES and first['setting'] == 'unseen' and first['command'] == 'korembed run my.toml'
    _, lines = walked(folder, monkeypatch, caplog)
    assert lines == dict.fromkeys(STAGES, 'skipped')
    paper(folder, few, evaluate='top_k = 3')
    _, lines = walked(folder, monkeypatch, caplog)
    assert lines == dict.fromkeys(STAGES, 'skipped') | dict(evaluate='done', report='done')
    paper(folder, few, train='learning_rate = 2e-3')
    other, lines = walked(folder, monkeypatch, caplog)
    assert lines == dict.fromkeys(STAGES, 'done') | dict(read='skipped', prepare='skipped', mine='skipped')
    assert len(list((folder/'걸음'/'runs').iterdir())) == 2 and other['results'] != first['results']   # the old model is still there
    paper(folder, few)   # back again: the model is there, and no training is done
    back, _ = walked(folder, monkeypatch, caplog)
    assert back['results'] == first['results'] and back['stages']['train']['place'] == first['stages']['train']['place']
    assert not any('held out' in m for m in caplog.messages)
    (folder/'걸음'/'prepared'/'train.parquet').unlink()
    (folder/'문서'/'새.txt').write_text('새 문서에는 고래 이야기가 있다.', encoding='utf-8')
    result, lines = walked(folder, monkeypatch, caplog)
    # what is gone is made again, the same; a new document belongs into the index, and the model stays
    assert lines == dict.fromkeys(STAGES, 'done') | dict(mine='skipped', train='skipped')
    found = korembed('search', '고래', '--mode', 'bm25', '--db-path', f"걸음/{result['stages']['index']['place']}", '--json', cwd=folder)
    assert '고래 이야기' in json.loads(found.stdout)['hits'][0]['text']

def test_an_index_and_an_exam_that_vanished_are_made_again(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path/'copy')
    out = tmp_path/'copy'/'걸음'
    for index in out.glob('runs/*/chroma_db'): shutil.rmtree(index); index.mkdir()
    (out/'prepared'/'validation.parquet').unlink()
    done = korembed('run', 'my.toml', '--json', cwd=tmp_path/'copy')
    assert done.returncode == 0, done.stderr
    assert {s for s in STAGES if f'{s}: skipped' not in done.stderr} == {'prepare', 'index'}, done.stderr
    assert list(out.glob('runs/*/chroma_db/chroma.sqlite3')) and (out/'prepared'/'validation.parquet').is_file()

def test_a_stage_that_lost_a_part_is_done_again(tmp_path, monkeypatch):
    (tmp_path/'my.toml').write_text(f'out = "{tmp_path.as_posix()}/o"\n[data]\ndocuments = "d"\n[train]\nmodel_name = "offline"\n', encoding='utf-8')
    w, calls = read_walk(tmp_path/'my.toml'), []
    def put(*files):
        for f in files: f.parent.mkdir(parents=True, exist_ok=True); f.write_text('x', encoding='utf-8')
    def generate(docs, out, **how):
        put(out/'train.jsonl', out/'validation.jsonl'); calls.append('generate')
        return dict(questions=dict(kept=1, asked=1), setting='unseen', written_by='rules', cost=0.)
    def train(lessons, run, config, resume):
        calls.append('resumed' if resume else 'begun')
        if not (run/'run.json').is_file(): put(run/'model'/'modules.json', run/'model'/'model.safetensors', run/'run.json')   # else it is done
        return dict(primary='ndcg@10', metrics={}, train_examples=1, steps=1)
    monkeypatch.setattr('korembed.walk.generate', generate); monkeypatch.setattr('korembed.walk.train', train)
    (tmp_path/'o').mkdir(); (tmp_path/'o'/'documents.json').write_text('{}', encoding='utf-8')
    made = _generate(w); lessons = tmp_path/'o'/made['place']
    assert _generate(w) == made and calls == ['generate']
    (tmp_path/'o'/'generated'/'validation.jsonl').unlink()
    _generate(w); assert calls == ['generate'] * 2 and (tmp_path/'o'/'generated'/'validation.jsonl').is_file()
    calls.clear()
    model = tmp_path/'o'/_train(w, lessons)['place']
    _train(w, lessons); assert calls == ['begun']
    for n, part in enumerate([model.parent/'run.json', model/'model.safetensors', model/'modules.json'], 1):
        part.unlink()
        _train(w, lessons); assert calls == ['begun'] + ['resumed'] * n and part.is_file()

def test_wrong_papers_are_refused_before_anything_is_made(few, tmp_path):
    refused('run', cwd=tmp_path, names=['--example'])
    refused('run', 'none.toml', cwd=tmp_path, names=['none.toml', 'no such file'])
    file = paper(tmp_path, few, train='learnig_rate = 1')
    refused('run', file.name, cwd=tmp_path, names=['my.toml', '[train]', 'did you mean learning_rate?'])
    paper(tmp_path, few, evaluate='guard_data = "none.jsonl"')
    refused('run', file.name, cwd=tmp_path, names=['guard_data', 'none.jsonl', 'no such file'])
    file.write_text('out = "docs/out"\n[data]\ndocuments = "docs"\n', encoding='utf-8'); (tmp_path/'docs').mkdir()
    refused('run', file.name, cwd=tmp_path, names=['out lies among the documents'])
    assert not (tmp_path/'걸음').exists()
    other = sample_path('eval/solar_system.json').as_posix()
    paper(tmp_path, few, evaluate=f'data = {json.dumps(other)}')
    refused('run', file.name, cwd=tmp_path, names=['solar_system.json', 'none of its passages'])
    paper(tmp_path, few, evaluate='with = "bm26"')
    refused('run', file.name, cwd=tmp_path, names=['[evaluate]', 'bm26', 'bm25'])
    assert not list(tmp_path.rglob('prepared'))

LATE = {'[evaluate]\ncluster = "foo"': "[evaluate]: cluster = 'foo': choose passage or article", '[evaluate]\ntop_k = 0': '[evaluate]: top_k=0',
        '[index]\nchunk_size = 10\nchunk_overlap = 50': '[index]: chunk_overlap=50: give 0 to 9', '[mine]\nn = 0': '[mine]: n=0',
        '[train]\nloss = "Triplet"': '[train]: loss=Triplet: needs wrong passages', '[train]\nnegatives = "nofile.parquet"': '[train]: nofile.parquet: no such file',
        '[train]\ndevice = "cuda"': '[train]: no such device here', '[evaluate]\njudge = "openai"': 'OPENAI_API_KEY'}

@pytest.mark.parametrize('lines', LATE)
def test_what_a_late_stage_would_refuse_is_refused_before_anything_is_made(tmp_path, monkeypatch, lines):
    "And the doctor, who asks the same, does not say Ready."
    def no_device(device):
        if device: raise InputError('no such device here')
    monkeypatch.setattr('korembed.walk.pick_device', no_device)   # whatever this machine has
    monkeypatch.chdir(tmp_path); monkeypatch.delenv('OPENAI_API_KEY', raising=False)
    (tmp_path/'문서.txt').write_text('한라산은 제주도에 있다.', encoding='utf-8')
    (tmp_path/'my.toml').write_text(f'out = "걸음"\n[data]\ndocuments = "문서.txt"\n{lines}\n', encoding='utf-8')
    with pytest.raises(InputError) as refusal: run('my.toml')
    assert str(refusal.value).startswith('my.toml' if 'judge' not in lines else '') and LATE[lines] in str(refusal.value)
    assert not (tmp_path/'걸음').exists()
    row, _ = check_settings('my.toml')
    assert (row.state, row.said) == ('broken', str(refusal.value))

def test_a_folder_in_which_another_works_is_named_by_the_word_of_the_paper(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/'d.txt').write_text('한라산은 제주도에 있다.', encoding='utf-8'); (tmp_path/'걸음').mkdir()
    (tmp_path/'my.toml').write_text('out = "걸음"\n[data]\ndocuments = "d.txt"\n', encoding='utf-8')
    with run_lock('걸음'), pytest.raises(InputError) as refusal: run('my.toml')
    assert str(refusal.value).endswith('wait for it or choose another out in my.toml') and '--out' not in str(refusal.value)

def test_an_exam_on_documents_that_were_learnt_from_is_called_so(few, tmp_path):
    "Whatever the paper says: the setting is looked up in the documents."
    rows, docs = read_qa(few), {}
    for title, text in zip(rows['title'], rows['context']): docs.setdefault(title, text)
    a, b = list(docs)[:2]
    def questions(name, *titles):
        lines = [json.dumps(dict(question=f'{t}?', answer=docs[t][:3], context=docs[t], title=t), ensure_ascii=False) for t in titles]
        (tmp_path/name).write_text('\n'.join(lines), encoding='utf-8')
        return tmp_path/name
    (tmp_path/'my.toml').write_text(f'out = "o"\n[data]\ndocuments = "d"\n[evaluate]\ndata = "{questions("exam.jsonl", a).as_posix()}"\n', encoding='utf-8')
    w, made = read_walk(tmp_path/'my.toml'), dict(setting='unseen')
    assert _setting(w, made, questions('other.jsonl', b), docs) == 'unseen'
    assert _setting(w, made, questions('both.jsonl', a, b), docs) == 'same-corpus'
    assert _setting(w, dict(setting='same-corpus'), tmp_path/'other.jsonl', docs) == 'same-corpus'
    assert _setting(w, None, tmp_path/'both.jsonl', docs) == 'same-corpus'   # own questions, too
    asked = _as_set(tmp_path/'both.jsonl', docs, dict(chunk_size=100, chunk_overlap=20), False, tmp_path/'set.json')
    exam, about = load_exam(asked, [])
    first = {q: [(d, 1.)] for q, r in exam.relevant_docs.items() for d in r}
    flipped = flips(exam, dict(base=dict.fromkeys(exam.queries, []), tuned=first), answers=about['answers'])
    assert {f['question']: f['answer'] for f in flipped} == {f'{t}?': docs[t][:3] for t in (a, b)}   # to be read in both lists
    write_retrieval_set(retrieval_set(read_qa(tmp_path/'exam.jsonl')), tmp_path/'set.json')
    as_set = w._replace(evaluate=dict(data=str(tmp_path/'set.json')))
    assert [_setting(as_set, made, tmp_path/f'{n}.jsonl', docs) for n in ('other', 'both')] == ['unseen', 'same-corpus']

def test_the_example_runs_as_it_is(tmp_path):
    said = korembed('run', '--example', cwd=tmp_path)
    assert said.returncode == 0 and said.stdout.strip() == example_walk().strip()
    (tmp_path/'my.toml').write_text(said.stdout.replace('max_steps = -1', 'max_steps = 2'), encoding='utf-8')
    done = korembed('run', 'my.toml', '--json', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert list(result['stages']) == 'read generate prepare train index evaluate report'.split()
    # the questions were written on the very article of the exam, and the papers say so
    assert result['setting'] == 'same-corpus' and result['data'] == 'solar_system.json' and result['n_queries'] > 100
    page = (tmp_path/'korembed_walk').glob('runs/*/papers/report.html')
    assert '<b>same-corpus</b>' in next(page).read_text(encoding='utf-8')
    made = json.loads((tmp_path/'korembed_walk'/'generated'/'manifest.json').read_text(encoding='utf-8'))
    assert 'template' in str(made['chat_model']) and made['setting'] == 'same-corpus'
