"A loopback service that speaks POST /v1/embeddings, for tests with the real openai client."
import base64, json, os, threading, zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import numpy as np

def vector(text, dim=64):
    "Hashed character bigrams: texts that share letters get similar vectors."
    counts = np.zeros(dim)
    for i in range(len(text) + 1): counts[zlib.crc32(f' {text} '[i:i + 2].encode()) % dim] += 1
    return counts / np.sqrt((counts ** 2).sum())

def answer(asked, dim):
    "Status and body as the real service gives them, its limits included (bytes stand for tokens)."
    texts, sizes = asked['input'], [len(t.encode()) for t in asked['input']]
    if not texts or not all(texts) or len(texts) > 2048 or max(sizes) > 8192 or sum(sizes) > 300_000:
        return 400, dict(error=dict(message='input is empty or too large'))
    rows = [vector(t, dim) for t in texts]
    if asked.get('encoding_format') == 'base64': made = [base64.b64encode(r.astype('<f4')).decode() for r in rows]
    else: made = [r.tolist() for r in rows]
    data = [dict(object='embedding', index=i, embedding=e) for i, e in enumerate(made)]
    usage = dict(prompt_tokens=sum(sizes), total_tokens=sum(sizes))
    return 200, dict(object='list', model=asked['model'], data=data, usage=usage)

@contextmanager
def serve(dim=64, twist=None):
    """Yields (base_url, received): `received` lists the request bodies.

    twist(number of the request from 0, status, body) -> (status, body) makes it fail in the ways a test wants."""
    received, lock = [], threading.Lock()
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers['content-length'])))
            with lock: received.append(asked); n = len(received) - 1
            status, body = answer(asked, dim) if self.path == '/v1/embeddings' else (404, {})
            if not self.headers.get('authorization', '').startswith('Bearer '): status, body = 401, {}
            if twist: status, body = twist(n, status, body)
            raw = json.dumps(body).encode()
            self.send_response(status)
            headers = {'content-type': 'application/json', 'content-length': len(raw), 'retry-after-ms': 1}
            for name, value in headers.items(): self.send_header(name, str(value))
            self.end_headers(); self.wfile.write(raw)
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    before = {k: os.environ.get(k) for k in ('NO_PROXY', 'no_proxy')}
    os.environ |= dict.fromkeys(before, '127.0.0.1')   # a proxy of the machine must not stand between
    threading.Thread(target=server.serve_forever, args=(.01,), daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}/v1', received
    finally:
        server.shutdown(); server.server_close()
        for k, v in before.items():
            if v is None: os.environ.pop(k, None)
            else: os.environ[k] = v
