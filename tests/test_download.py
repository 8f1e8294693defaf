"Downloads against a server that misbehaves as real ones do."
import contextlib, hashlib, json, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import pytest
from korembed import download as module
from korembed.text import InputError

BODY = bytes(range(256)) * 4000   # 1 MB in which a shift by any number of bytes shows

@contextlib.contextmanager
def serving(*plan):
    "A server that answers one request after the other as `plan` says, the last line for all that follow; yields its address and the requests."
    asked = []
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *a): pass
        def do_GET(self):
            do = plan[min(len(asked), len(plan) - 1)]
            asked.append(dict(range=self.headers.get('Range'), if_range=self.headers.get('If-Range'), at=time.time()))
            body, etag = do.get('body', BODY), do.get('etag', '"1"')
            honour = not do.get('ignore_range') and self.headers.get('Range') and self.headers.get('If-Range') == etag
            start = int(self.headers['Range'][6:-1]) if honour else 0
            self.send_response(do.get('code', 206 if start else 200))
            for k, v in do.get('headers', {}).items(): self.send_header(k, v)
            if do.get('code', 200) != 200: self.send_header('Content-Length', '0'); self.end_headers(); return
            self.send_header('ETag', etag)
            if start: self.send_header('Content-Range', f'bytes {start}-{len(body) - 1}/{len(body)}')
            self.send_header('Content-Length', str(len(body) - start)); self.end_headers()
            self.close_connection = True
            with contextlib.suppress(OSError):
                for i in range(start, do.get('cut', len(body)), 50_000):
                    self.wfile.write(body[i:min(i + 50_000, do.get('cut', len(body)))]); time.sleep(do.get('slow', 0))
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}', asked
    finally: server.shutdown(); server.server_close()

@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch): monkeypatch.setattr(module, '_pause', .01); monkeypatch.setitem(module.SOURCES, 'one', ['https://example.invalid/f.json'])

def get(url, out): return module.download('one', out, url)

def left(folder): return sorted(p.name for p in folder.iterdir())

@pytest.mark.parametrize('plan,ranges', [
    ([dict(cut=300_000), {}], [None, 'bytes=300000-']),                                     # breaks off, goes on
    ([dict(cut=300_000), dict(cut=700_000), {}], [None, 'bytes=300000-', 'bytes=700000-']),
    ([dict(cut=300_000), dict(ignore_range=True)], [None, 'bytes=300000-']),                # sends all of it again
    ([dict(cut=300_000, body=b'old' * 500_000, etag='"0"'), {}], [None, 'bytes=300000-']),  # another file since
    ([dict(code=500), dict(code=503), {}], [None] * 3),
    ([dict(cut=300_000), dict(code=416), {}], [None, 'bytes=300000-', None])])
def test_the_file_is_whole_in_the_end(tmp_path, plan, ranges):
    with serving(*plan) as (url, asked): got, = get(url, tmp_path)
    assert (tmp_path/'f.json').read_bytes() == BODY and [a['range'] for a in asked] == ranges
    assert left(tmp_path) == ['SHA256SUMS', 'f.json'] and got['sha256'] == hashlib.sha256(BODY).hexdigest()
    assert (tmp_path/'SHA256SUMS').read_text() == f"{got['sha256']}  f.json\n"

def test_the_servers_own_pause_is_kept(tmp_path):
    with serving(dict(code=429, headers={'Retry-After': '1'}), {}) as (url, asked): get(url, tmp_path)
    assert asked[1]['at'] - asked[0]['at'] >= 1

def test_broken_off_for_good_it_says_how_far_and_goes_on_later(tmp_path):
    with serving(dict(cut=300_000), dict(cut=0)) as (url, asked):
        with pytest.raises(InputError, match='300000 of 1024000 bytes|300000 bytes.*again to go on'): get(url, tmp_path)
    assert (tmp_path/'f.json.part').stat().st_size == 300_000
    with serving({}) as (url, asked): get(url, tmp_path)
    assert asked[0]['range'] == 'bytes=300000-' and (tmp_path/'f.json').read_bytes() == BODY

@pytest.mark.parametrize('plan,says', [([dict(code=404)], 'does not exist'), ([dict(code=403)], 'HTTP 403'), ([dict(code=500)], 'HTTP 500')])
def test_refusals_are_one_line(tmp_path, plan, says):
    with serving(*plan) as (url, _), pytest.raises(InputError, match=says) as e: get(url, tmp_path)
    assert '\n' not in str(e.value) and left(tmp_path) == []

def test_nobody_there(tmp_path):
    with serving({}) as (url, _): pass
    with pytest.raises(InputError, match='127.0.0.1: cannot be reached.*by hand'): get(url, tmp_path)

def test_a_changed_file_is_noticed_and_not_overwritten(tmp_path):
    with serving({}) as (url, asked):
        get(url, tmp_path)
        (tmp_path/'f.json').write_bytes(b'changed')
        with pytest.raises(InputError, match='not what was downloaded first'): get(url, tmp_path)
        assert (tmp_path/'f.json').read_bytes() == b'changed' and len(asked) == 1

def test_killed_in_the_middle_and_typed_again(tmp_path):
    code = 'import sys; from korembed import download as d; d.SOURCES["one"] = ["https://example.invalid/f.json"]; d.download("one", sys.argv[1], sys.argv[2])'
    with serving(dict(slow=.05), {}) as (url, asked):
        child = subprocess.Popen([sys.executable, '-c', code, str(tmp_path), url], stderr=subprocess.DEVNULL)
        while not (tmp_path/'f.json.part').is_file() or (tmp_path/'f.json.part').stat().st_size < 200_000: time.sleep(.02)
        child.kill(); child.wait()
        had = (tmp_path/'f.json.part').stat().st_size
        assert had < len(BODY) and not (tmp_path/'f.json').exists()
        get(url, tmp_path)
    assert asked[1]['range'] == f'bytes={had}-' and (tmp_path/'f.json').read_bytes() == BODY
