"A loopback service that speaks POST /v1/embeddings and /v1/chat/completions, for tests with the real openai client."
import base64, json, os, re, tempfile, threading, time, zlib
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import numpy as np

KEY = 'sk-very-secret-key'

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

def passage(asked):
    "What a chat request is about: the text between the marks."
    return re.search(r'<자료 (\w+)>\n(.*)\n</자료 \1>', asked['messages'][-1]['content'], re.S)[2]

def questions(text):
    "Two Korean questions on a text, out of its own words: always the same ones for the same text."
    some = [s.strip() for s in re.split(r'(?<=다)\.\s', text.split('\n\n', 1)[-1]) if len(s.split()) > 3][:2]
    return [dict(question=' '.join(s.split()[:4]) + ' 어떻게 되나요?', answer=s, kind='fact', style='해요체') for s in some]

def chat_answer(asked, say=None):
    "Status and body of a chat service, bytes for tokens; `say` is the text, by default two questions as asked for."
    said = say if say is not None else json.dumps(dict(questions=questions(passage(asked))), ensure_ascii=False)
    usage = dict(prompt_tokens=sum(len(m['content'].encode()) for m in asked['messages']), completion_tokens=len(said.encode()))
    message = dict(role='assistant', content=said)
    return 200, dict(id='c', object='chat.completion', model=asked['model'], usage=usage, choices=[dict(index=0, finish_reason='stop', message=message)])

class Received(list):
    """The request bodies; `paid` counts each text (of a chat request: the passage, and what was said of a first answer) that was
    answered to the end, `at` says when each request came."""
    def __init__(self): super().__init__(); self.paid, self.at = Counter(), []

@contextmanager
def serve(dim=64, twist=None):
    """Yields (base_url, received); until the end, vectors are kept in a folder of this service's own.

    twist(number of the request from 0, status, body) -> (status, body) or (status, body, headers) makes it fail in the ways
    a test wants. In the place of a status, 'cut' breaks the connection in the middle of the answer, 'hang' gives none."""
    received, lock, over = Received(), threading.Lock(), threading.Event()
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers['content-length'])))
            with lock: received.append(asked); received.at.append(time.monotonic()); n = len(received) - 1
            known = {'/v1/embeddings': lambda: answer(asked, dim), '/v1/chat/completions': lambda: chat_answer(asked)}
            status, body = known.get(self.path, lambda: (404, {}))()
            if not self.headers.get('authorization', '').startswith('Bearer '): status, body = 401, {}
            status, body, own = (*(twist(n, status, body) if twist else (status, body)), {'retry-after-ms': 1})[:3]
            if status == 'hang': over.wait(5); self.close_connection = True; return
            raw = json.dumps(body).encode()
            self.send_response(200 if status == 'cut' else status)
            headers = {'content-type': 'application/json', 'content-length': len(raw)} | own
            for name, value in headers.items(): self.send_header(name, str(value))
            self.end_headers(); self.wfile.write(raw[:len(raw) // 2] if status == 'cut' else raw)
            if status == 'cut': self.close_connection = True
            if status == 200:
                with lock: received.paid.update(asked['input'] if 'input' in asked else [asked['messages'][-1]['content']])
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    before = {k: os.environ.get(k) for k in ('NO_PROXY', 'no_proxy', 'KOREMBED_CACHE')}
    os.environ |= dict.fromkeys(('NO_PROXY', 'no_proxy'), '127.0.0.1')   # a proxy of the machine must not stand between
    threading.Thread(target=server.serve_forever, args=(.01,), daemon=True).start()
    with tempfile.TemporaryDirectory() as cache:
        os.environ['KOREMBED_CACHE'] = cache
        try: yield f'http://127.0.0.1:{server.server_port}/v1', received
        finally:
            over.set(); server.shutdown(); server.server_close()
            for k, v in before.items():
                if v is None: os.environ.pop(k, None)
                else: os.environ[k] = v

def thousand():
    "What two systems found, {query id: [text, ...]} each, and the queries: 1,000 texts, some 2.4 MB or nine requests."
    queries = {f'q{i:02}': f'{i}번째 질문: 강은 어디로 흐르는가?' for i in range(20)}
    chunk = lambda side, q, j: f'{side} {q} {j} ' + f'{j}번 강은 서울을 지나 서해로 흐른다. ' * 50
    return *({q: [chunk(side, q, j) for j in range(n)] for q in queries} for side, n in (('처음', 25), ('나중', 24))), queries
