"Run folders: the lock and dying processes, the commands that read them, TensorBoard, what circumstances tell and do not tell."
import contextlib, json, os, signal, socket, subprocess, sys, time, unicodedata, urllib.error, urllib.request, warnings
import pytest
from rich.cells import cell_len
from test_cli import korembed, refused
from korembed.runs import circumstances, describe_run, list_runs, loss_curve, run_lock, run_state
from korembed.text import InputError

def make_run(folder, *losses, ndcg=None, more=(), **config):
    "A small invented run; unfinished without `ndcg`."
    folder.mkdir(parents=True)
    lines = [dict(epoch=n / 2, step=n * 10, loss=l) for n, l in enumerate(losses, 1)] + list(more)
    (folder/'training_metrics.jsonl').write_text(''.join(json.dumps(l) + '\n' for l in lines), encoding='utf-8')
    if ndcg: (folder/'run.json').write_text(json.dumps(dict(
        schema=1, base='intfloat/multilingual-e5-small', config=dict(seed=42, batch_size=32) | config, seed=42, loss=[[10, 1.]],
        data=dict(source='지리.json', parts={k: dict(rows=9, fingerprint=f) for k, f in dict(train='aa', validation='bb').items()}),
        train_examples=9, eval_examples=3,
        metrics=dict(base={'ndcg@10': .5}, tuned={'ndcg@10': ndcg}), seconds=dict(total=round(100 * ndcg)),
        made_with=dict(python='3.11', packages=dict(torch='2.13.0'), git=None, threads=2, gpus=[])), ensure_ascii=False), encoding='utf-8')
    return folder

@pytest.fixture
def home(tmp_path):
    "logs/tensorboard with two finished runs and one cut off."
    logs = tmp_path/'logs'/'tensorboard'
    for n, (name, args) in enumerate({'중단': dict(), '첫 실험': dict(ndcg=.6), 'big': dict(ndcg=.7, batch_size=128)}.items()):
        run = make_run(logs/name, 3., 2., 1., **args)
        for p in run.iterdir(): os.utime(p, (1e9 + n, 1e9 + n))
    return tmp_path

# ---- the lock

HOLD = '''import os, sys, time
from korembed.runs import run_lock
with run_lock(sys.argv[1]):
    print('in', flush=True)
    time.sleep(60)'''
FORK = HOLD.replace("    time", '''    if os.fork() == 0: os.close(1); time.sleep(15); os._exit(0)
    print('forked', flush=True)
    time''')

@contextlib.contextmanager
def holder(run, code=HOLD, said='in'):
    "Another process that holds the lock of a run."
    p = subprocess.Popen([sys.executable, '-c', code, str(run)], stdout=subprocess.PIPE, text=True)
    try:
        while (line := p.stdout.readline()).strip() != said: assert line, 'the process ended before it had the lock'
        yield p
    finally: p.kill(); p.wait(); p.stdout.close()

def test_a_second_process_is_refused_and_named_the_folder(tmp_path):
    run = make_run(tmp_path/'실험')
    with holder(run):
        with pytest.raises(InputError, match='실험: another process') as e:
            with run_lock(run): pass
        assert '\n' not in str(e.value) and run_state(run) == 'running'

@pytest.mark.parametrize('how', ['SIGKILL', 'SIGTERM', 'SIGINT'])
def test_the_lock_dies_with_its_process(tmp_path, how):
    if not hasattr(signal, how): pytest.skip(f'no {how} here')
    run = make_run(tmp_path/'run')
    with holder(run) as p:
        assert run_state(run) == 'running'
        p.send_signal(getattr(signal, how)); p.wait(10)
        assert p.returncode and run_state(run) == 'interrupted'
        with run_lock(run): assert run_state(run) == 'running'
    with run_lock(run): pass   # what the dead process left behind bars nobody

def test_a_forked_child_does_not_inherit_the_lock(tmp_path):
    "Data loaders may outlive a killed training for a while."
    if not hasattr(os, 'fork'): pytest.skip('no fork here')
    run = make_run(tmp_path/'run')
    with holder(run, FORK, 'forked') as p:
        p.kill(); p.wait()
        with run_lock(run): pass

def test_looking_at_a_run_changes_nothing(home):
    names = lambda: {p.relative_to(home).as_posix(): p.stat().st_mtime_ns for p in home.rglob('*')}
    before = names()
    for args in (('list',), ('show', 'big'), ('compare', 'big', '첫 실험')): assert korembed('runs', *args, cwd=home).returncode == 0
    assert names() == before

# ---- list, show, compare

def test_list(home):
    done = korembed('runs', 'list', '--json', cwd=home)
    rows = json.loads(done.stdout)['runs']
    assert [(r['run'], r['state'], r['tuned.ndcg@10']) for r in rows] == [
        ('big', 'finished', .7), ('첫 실험', 'finished', .6), ('중단', 'interrupted', None)]
    text = korembed('runs', 'list', cwd=home).stdout
    assert all(n in text for n in ('big', '첫 실험', '중단', 'interrupted', '지리.json'))
    (home/'elsewhere').mkdir()
    refused('runs', 'list', '--root', 'elsewhere', cwd=home, names=['elsewhere', 'no run', 'korembed train'])
    refused('runs', 'list', '--root', 'nowhere', cwd=home, names=['nowhere', 'no such folder'])

@pytest.mark.parametrize('content,state', [('{"a": ', 'damaged'), ('', 'damaged'), ('[]', 'damaged'), ('{}', 'no config'),
                                           ('{"config": null}', 'no config')])
def test_a_manifest_that_tells_nothing_is_listed_as_such(home, content, state):
    run = home/'logs'/'tensorboard'/'첫 실험'
    (run/'run.json').write_text(content, encoding='utf-8')
    assert list_runs(run.parent).loc['첫 실험', 'state'] == state == run_state(run)

def test_events_alone_make_a_run_and_other_folders_do_not(tmp_path):
    for name in ('old', 'other'): (tmp_path/name).mkdir()
    (tmp_path/'old'/'events.out.tfevents.1').touch(); (tmp_path/'other'/'notes.txt').touch(); (tmp_path/'file').touch()
    assert list(list_runs(tmp_path).index) == ['old']

@pytest.mark.parametrize('name', ['첫 실험', unicodedata.normalize('NFD', '첫 실험'), 'logs/tensorboard/첫 실험'])
def test_show(home, name):
    if name != unicodedata.normalize('NFC', name): (home/'logs'/'tensorboard'/'첫 실험').rename(home/'logs'/'tensorboard'/name)
    told = json.loads(korembed('runs', 'show', name, '--json', cwd=home).stdout)
    assert told['config'] == dict(seed=42, batch_size=32) and told['scores'] == {'base.ndcg@10': .5, 'tuned.ndcg@10': .6}
    assert told['data']['parts.train.fingerprint'] == 'aa' and told['versions']['torch'] == '2.13.0' and told['seconds'] == dict(total=60)
    assert told['run'] == dict(state='finished', base='intfloat/multilingual-e5-small')   # the losses are in the curve
    text = korembed('runs', 'show', name, cwd=home).stdout
    starts = {cell_len(l[:l.index(v)]) for v in ('지리.json', 'aa', '2.13.0') for l in text.splitlines() if v in l}
    assert '첫 실험' in text.splitlines()[0] and len(starts) == 1
    for no_run in ('없다', 'logs'): refused('runs', 'show', no_run, cwd=home, names=[no_run, 'korembed runs list'])

def test_latest_is_the_newest_that_finished(home):
    os.utime(home/'logs'/'tensorboard'/'중단'/'training_metrics.jsonl')
    told = json.loads(korembed('runs', 'show', 'latest', '--json', cwd=home).stdout)
    assert told['path'].endswith('big')
    assert korembed('runs', 'show', '중단', cwd=home).stdout.split()[-1] == 'interrupted'

def test_unknown_fields_are_shown(tmp_path):
    run = make_run(tmp_path/'run', ndcg=.6)
    m = json.loads((run/'run.json').read_text(encoding='utf-8')) | dict(resumed=dict(step=40), cut=dict(chunk_size=172))
    (run/'run.json').write_text(json.dumps(m), encoding='utf-8')
    assert describe_run(run)['run']['resumed.step'] == 40 and describe_run(run)['data']['cut.chunk_size'] == 172

def test_compare_shows_the_differences_only(home):
    done = korembed('runs', 'compare', '첫 실험', 'big', '--json', cwd=home)
    assert json.loads(done.stdout) == dict(plot=None, note='', differences=dict(
        config=dict(batch_size={'첫 실험': 32, 'big': 128}), scores={'tuned.ndcg@10': {'첫 실험': .6, 'big': .7}})), done.stderr
    text = korembed('runs', 'compare', '첫 실험', 'big', cwd=home).stdout
    assert 'batch_size' in text and 'torch' not in text and 'fingerprint' not in text
    refused('runs', 'compare', 'big', cwd=home, names=['big', 'two or more'])
    refused('runs', 'compare', 'big', 'latest', cwd=home, names=['big', 'two or more different'])   # the same run

def test_runs_of_one_name_are_told_apart(home):
    again = make_run(home/'big', 2., ndcg=.7, batch_size=128)
    assert 'No difference.' in korembed('runs', 'compare', 'logs/tensorboard/big', 'big', cwd=home).stdout
    m = json.loads((again/'run.json').read_text(encoding='utf-8'))
    m['data']['parts']['validation']['fingerprint'] = 'cc'
    (again/'run.json').write_text(json.dumps(m), encoding='utf-8')
    done = korembed('runs', 'compare', 'logs/tensorboard/big', 'big', cwd=home)
    assert done.stdout.rstrip().endswith('these scores cannot be compared.') and done.stdout.split()[:2] == ['logs/tensorboard/big', 'big']

def test_compare_draws_the_curves_with_hangul(home):
    more = [{'epoch': 1.5, 'step': 30, 'eval_ndcg@10': .66}]
    make_run(home/'logs'/'tensorboard'/'_$a$ 셋째', 2., 1., more=more, ndcg=.66)
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='Glyph')   # a sign that the font lacks
        done = korembed('runs', 'compare', '첫 실험', 'big', '_$a$ 셋째', '--plot', '곡선.png', cwd=home)
    assert done.returncode == 0 and (home/'곡선.png').read_bytes()[:4] == b'\x89PNG', done.stderr
    refused('runs', 'compare', '첫 실험', 'big', '--plot', 'curves.svg', cwd=home, names=['curves.svg', 'PNG'])
    (home/'logs'/'tensorboard'/'big'/'training_metrics.jsonl').unlink()
    refused('runs', 'compare', '첫 실험', 'big', '--plot', 'x.png', cwd=home, names=['big', 'training_metrics.jsonl'])
    assert not (home/'x.png').exists()

def test_a_label_is_no_formula():
    from korembed.report import plot_runs
    import pandas as pd
    curve = pd.DataFrame(dict(epoch=[1.], step=[1], loss=[1.]))
    texts = plot_runs({'_a $x_1$': curve}).axes[0].get_legend().get_texts()
    assert [t.get_text().strip() for t in texts] == ['_a $x_1$'] and not texts[0].get_parse_math()

def test_curve_of_a_resumed_and_torn_record(tmp_path, caplog):
    run = make_run(tmp_path/'run', 3., 2., 1., more=[dict(epoch=1., step=20, loss=1.9), {'epoch': 1., 'step': 20, 'eval_ndcg@10': .5}])
    with open(run/'training_metrics.jsonl', 'a', encoding='utf-8') as f: f.write('[1]\n{"epoch": 1.6, "st')
    curve = loss_curve(run)
    assert curve[['step', 'loss']].values.tolist() == [[10, 3.], [20, 1.9], [30, 1.]] and curve['eval_ndcg@10'].dropna().tolist() == [.5]
    assert 'left out: 2, the first is line 6' in caplog.text

# ---- circumstances

def test_circumstances_tell_the_commit_and_no_names(tmp_path, monkeypatch):
    place = tmp_path/'비밀 사업'; place.mkdir(); monkeypatch.chdir(place)
    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path))
    monkeypatch.setenv('GIT_CONFIG_GLOBAL', os.devnull); monkeypatch.setenv('GIT_CONFIG_NOSYSTEM', '1')   # whoever runs the tests may sign all commits
    assert circumstances()['git'] is None
    who = '-c', 'user.name=홍길동', '-c', 'user.email=hong@example.org'
    git = lambda *a: subprocess.run(['git', *who, *a], check=True, capture_output=True, text=True)
    git('init', '-b', '비밀가지')
    assert circumstances()['git'] is None   # nothing committed yet
    (place/'글.txt').write_text('하나', encoding='utf-8'); git('add', '.'); git('commit', '-m', '비밀')
    (place/'new.txt').touch()   # what git does not track is no change of the code
    now = circumstances()
    assert now['git'] == dict(commit=git('rev-parse', 'HEAD').stdout.strip(), dirty=False)
    (place/'글.txt').write_text('둘', encoding='utf-8')
    assert circumstances()['git'] == now['git'] | dict(dirty=True)
    assert not [w for w in ('비밀', '홍길동', 'hong', str(tmp_path)) if w in json.dumps(now, ensure_ascii=False)]
    monkeypatch.setenv('PATH', '')
    assert circumstances()['git'] is None   # no git installed

def test_circumstances_name_the_memory_of_a_graphics_card(monkeypatch):
    import torch
    from types import SimpleNamespace
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda i: SimpleNamespace(name='A Card', total_memory=24 * 2**30))
    assert circumstances()['gpus'] == ['A Card (24 GB)']

# ---- TensorBoard

@pytest.fixture
def events(tmp_path):
    from torch.utils.tensorboard import SummaryWriter
    with SummaryWriter(str(tmp_path/'logs'/'tensorboard'/'실험')) as board: board.add_scalar('loss', 1., 1)
    return tmp_path

@contextlib.contextmanager
def served(cwd, *args):
    "The command as a process, and the address it printed."
    env = os.environ | dict(PYTHONIOENCODING='utf-8')
    p = subprocess.Popen([sys.executable, '-m', 'korembed.cli', 'tensorboard', *map(str, args)], cwd=cwd, env=env,
                         text=True, encoding='utf-8', stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        line = p.stdout.readline()
        assert line.startswith('TensorBoard: http://'), (line, p.stderr.read() if not line else '')
        yield p, line.split()[1]
    finally: p.kill(); p.communicate()

def test_tensorboard_serves_and_stops(events):
    with served(events, '--port', 0) as (p, url):
        assert url.startswith('http://127.0.0.1:') and b'<html' in urllib.request.urlopen(url, timeout=20).read()
        for _ in range(600):   # it reads the events in the background
            if (runs := json.loads(urllib.request.urlopen(f'{url}data/runs', timeout=20).read())): break
            time.sleep(.1)
        assert runs == ['실험']
        port = int(url.rstrip('/').rsplit(':', 1)[1])
        refused('tensorboard', '--port', port, cwd=events, names=[str(port), 'in use', '--port'])
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=20)
        assert p.returncode == 0 and 'Traceback' not in err and 'password' not in err, err
    with pytest.raises(urllib.error.URLError): urllib.request.urlopen(url, timeout=5)

def test_tensorboard_warns_when_others_can_see_it(events):
    with served(events, '--host', '0.0.0.0', '--port', 0) as (p, _):
        p.terminate()
        assert 'no password' in p.communicate(timeout=20)[1]

def test_tensorboard_refuses_what_cannot_be_shown(events):
    (events/'empty').mkdir(); (events/'file').touch()
    refused('tensorboard', 'nowhere', cwd=events, names=['nowhere', 'no such folder', 'korembed tensorboard DIR'])
    refused('tensorboard', 'file', cwd=events, names=['file', 'no such folder'])
    refused('tensorboard', 'empty', cwd=events, names=['empty', 'no TensorBoard events', 'korembed train'])
    refused('tensorboard', '--port', 70000, cwd=events, names=['70000', '--port'])
    refused('tensorboard', '--host', '256.1.1.1', cwd=events, names=['256.1.1.1', '--host'])
