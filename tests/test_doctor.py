"The doctor where things are missing: packages, files, a network, a key that is taken back."
import contextlib, json, os, re, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import pytest
from korembed.doctor import Check, check_network, check_service, doctor, is_ready, report

SECRET = 'sk-very-secret-key'

def asked(code: str, cwd: Path, **environ) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if k not in ('OPENAI_API_KEY', 'DATASET_ROOT')} | environ
    return subprocess.run([sys.executable, '-c', code], cwd=cwd, env=env, capture_output=True, text=True, encoding='utf-8')

# hides packages as if they had never been installed, metadata included
HIDE = '''
import importlib.metadata, sys
gone = {GONE}
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in gone: raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Hidden())
version = importlib.metadata.version
def told(name):
    if name.replace('-', '_') in gone: raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = told
from korembed.doctor import main
main(['--json'])
'''

@pytest.mark.parametrize('gone', [['torch'], ['selectolax', 'psutil', 'packaging', 'huggingface_hub', 'koreanize_matplotlib', 'matplotlib', 'msgspec', 'torch']])
def test_missing_packages_are_rows_not_a_crash(tmp_path, gone):
    done = asked(HIDE.replace('{GONE}', repr(set(gone))), tmp_path)
    assert done.returncode == 1 and 'Traceback' not in done.stderr, done.stderr
    rows = {c['name']: c for c in json.loads(done.stdout)['checks']}
    assert rows['device']['state'] == 'broken' and rows['device']['do'] == 'pip install torch'
    if 'packaging' not in gone: assert "pip install 'torch<3,>=2.13'" in rows['packages']['do'] and rows['base']['state'] != 'broken'
    else: assert rows['packages']['do'] == 'pip install packaging' and 'selectolax' in rows['settings']['said']
    assert rows['sqlite']['state'] == 'ok'   # the others are looked at all the same

def test_exit_codes_and_one_object(tmp_path):
    from test_cli import korembed
    good = korembed('doctor', '--json', cwd=tmp_path)
    found = json.loads(good.stdout)
    assert found['ready'] == (good.returncode == 0) == (not any(c['state'] == 'broken' for c in found['checks'])), good.stdout
    (tmp_path/'my.toml').write_text('out = "x"\n[data]\ndocuments = "없다/"\n[evaluate]\njudge = "openai"\n', encoding='utf-8')
    bad = korembed('doctor', 'my.toml', cwd=tmp_path)
    assert bad.returncode == 1 and '없다' in bad.stdout and '\033' not in bad.stdout and bad.stdout.splitlines()[-1].startswith('Not ready: ')

def test_a_torn_config_and_a_wrong_root_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv('DATASET_ROOT', str(tmp_path/'없다')); monkeypatch.setenv('KOREMBED_BATCH_SIZE', 'many'); monkeypatch.chdir(tmp_path)
    rows = {c.name: c for c in doctor()}
    assert rows['data'].state == rows['settings'].state == 'broken' and not is_ready(list(rows.values()))
    assert '없다' in rows['data'].said and 'KOREMBED_BATCH_SIZE' in rows['settings'].said and 'memory' not in rows

@contextlib.contextmanager
def service(status: int, elsewhere: str = ''):
    "Answers every request with a status; keeps what it was sent."
    seen = []
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *a): pass
        def do_GET(self):
            seen.append(self.headers.get('authorization'))
            self.send_response(status)
            if elsewhere: self.send_header('location', elsewhere)
            self.send_header('content-length', '0'); self.end_headers()
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, args=(.01,), daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}', seen
    finally: server.shutdown(); server.server_close()

@pytest.mark.parametrize('status,state', [(200, 'ok'), (401, 'broken'), (404, 'ok'), (503, 'careful')])
def test_what_a_service_answers(monkeypatch, status, state):
    monkeypatch.setenv('no_proxy', '127.0.0.1'); monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    with service(status) as (url, seen):
        hub, openai = check_network(dict(HF_ENDPOINT=url, OPENAI_BASE_URL=f'{url}/v1/', OPENAI_API_KEY=SECRET), Path('none'))
    assert openai.state == state and seen == [None, f'Bearer {SECRET}']   # the hub gets no key of OpenAI's
    assert SECRET not in report([hub, openai]) + report([hub, openai], as_json=True)

def test_the_key_goes_nowhere_else_and_is_never_shown(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1'); monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    with service(200) as (there, seen), service(302, there) as (url, first):
        assert check_service('openai', url, SECRET).state == 'ok' and first == [f'Bearer {SECRET}'] and seen == [None]
    for key in (f'{SECRET}\nx', f'{SECRET}한글'):   # these cannot be sent; the library's words on it hold the key
        row = check_service('openai', 'http://127.0.0.1:1', key)
        assert row.state == 'broken' and SECRET not in str(row)

def test_silence_is_not_waited_for(monkeypatch):
    import socket, time
    monkeypatch.setenv('no_proxy', '127.0.0.1'); monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    with socket.create_server(('127.0.0.1', 0)) as deaf:
        began = time.monotonic()
        assert check_service('hub', f'http://127.0.0.1:{deaf.getsockname()[1]}', timeout=.2).state == 'broken'
        assert time.monotonic() - began < 3

def test_light_to_import():
    "What it looks for, it must not need."
    done = subprocess.run([sys.executable, '-c', 'import sys, korembed.doctor; print(*sys.modules)'], capture_output=True, text=True)
    own = {m.split('.')[0] for m in done.stdout.split()}
    assert 'korembed' in own and not own & {'torch', 'typer', 'rich', 'packaging', 'psutil', 'selectolax', 'numpy'}

def test_colours_besides_words():
    rows = [Check('a', 'ok', 'x'), Check('b', 'broken', 'y', 'z')]
    assert re.sub(r'\033\[\d+m', '', report(rows, colour=True)) == report(rows) and report(rows, colour=True).count('\033') == 4
