"""Reading KorQuAD 2.1: korembed against a plain reader, in one run.

Writes files of that shape from the project's own text (HTML `context` and `raw_html` of some 60 KB an article), then loads,
cleans and pairs them in processes of their own. The plain reader: json.load in a pool of two processes, all articles kept,
cleaning by regular expressions once for each article, cutting at sentence ends by another. And the bare libraries that korembed
reads with, in as many processes: JSON, parser, all text of the page, splitter; nothing is dropped, placed, kept or handed back.
Usage: python benchmarks/read.py [ARTICLES]
"""
import html, json, os, random, re, subprocess, sys, tempfile, time, urllib.parse
from multiprocessing import Pool
from pathlib import Path

SIZE = 60_000   # characters of HTML in an article; the real ones have about as many

def _link(title: str) -> str: return f'<a href="/wiki/{urllib.parse.quote(title)}" title="{title}">{title}</a>'

def _paragraph(text: str, rng: random.Random) -> str:
    "The text with links and footnote marks, as a wiki has them."
    words = []
    for w in text.split(' '):
        hangul = re.match('[가-힣]+', w)
        if hangul and rng.random() < .12: w = _link(hangul.group()) + w[hangul.end():]
        elif rng.random() < .02:
            n = rng.randrange(1, 99)
            w += f'<sup id="cite_ref-{n}" class="reference"><a href="#cite_note-{n}">[{n}]</a></sup>'
        words.append(w)
    return f'<p>{" ".join(words)}\n</p>\n'

def _section(article: dict, n: int, titles: list[str], rng: random.Random) -> str:
    title = article['title']
    edit = (f'<span class="mw-editsection">[<a href="/w/index.php?title={urllib.parse.quote(title)}&amp;action=edit&amp;section={n}" '
            'title="부분 편집">편집</a>]</span>')
    items = ''.join(f'<li>{_link(rng.choice(titles))}: {rng.choice(titles)}</li>\n' for _ in range(4))
    body = ''.join(_paragraph(p['context'], rng) for p in article['paragraphs'])
    return f'<h2><span class="mw-headline" id="{urllib.parse.quote(title)}">{title}</span>{edit}</h2>\n{body}<ul>{items}</ul>\n'

def _tail(titles: list[str], rng: random.Random) -> str:
    "References and a navigation box."
    notes = ''.join(f'<li id="cite_note-{n}"><span class="mw-cite-backlink"><a href="#cite_ref-{n}">↑</a></span> <span class="reference-text">'
                    f'<a rel="nofollow" class="external text" href="http://example.org/{urllib.parse.quote(rng.choice(titles))}">'
                    f'{rng.choice(titles)}</a></span></li>\n' for n in range(30))
    boxes = ''.join(f'<tr><th scope="row" class="navbox-group">{rng.choice(titles)}</th><td class="navbox-list navbox-odd" style="text-align:left">'
                    + ' · '.join(_link(rng.choice(titles)) for _ in range(8)) + '</td></tr>' for _ in range(8))
    return f'<ol class="references">{notes}</ol><table class="navbox" style="border-spacing:0"><tbody>{boxes}</tbody></table>'

def _questions(page: str, told: list[dict], name: str, rng: random.Random) -> list[dict]:
    "Two questions whose answers stand in the page."
    qas = []
    for q in rng.sample(told, len(told)):
        text = q['answers'][0]['text']
        start = page.find(text)
        if start >= 0 and len(qas) < 2:
            answer = dict(text=text, answer_start=start, html_answer_start=start, html_answer_text=text)
            # the number makes the question another one in each article: pairs must not be fewer because some are the same
            qas.append(dict(id=f'{name}-{len(qas)}', question=f"{q['question']} ({name}-{len(qas)})", answer=answer))
    return qas

def article(source: list[dict], name: str, rng: random.Random) -> dict:
    "One article in the shape of KorQuAD 2.1."
    titles = [a['title'] for a in source]
    rows = ''.join(f'<tr><th scope="row" style="white-space:nowrap">{_link("항목")} {n}</th><td style="padding:2px 4px">{rng.randrange(9999)} '
                   f'{_link(rng.choice(titles))}</td></tr>' for n in range(12))
    page = ['<html><head><title>글</title><script>var a = 1;</script></head><body class="mediawiki ltr"><div class="mw-parser-output">'
            f'<table class="infobox" style="width:22em; font-size:90%"><tbody>{rows}</tbody></table>']
    tail, size, told = _tail(titles, rng), len(page[0]), []
    while size + len(tail) < SIZE:
        a = rng.choice(source)
        page.append(_section(a, len(page), titles, rng))
        told += [q for p in a['paragraphs'] for q in p['qas']]
        size += len(page[-1])
    text = ''.join([*page, tail, '</div></body></html>'])
    return dict(title=f'{source[0]["title"]} {name}', url='https://ko.wikipedia.org/wiki/x', context=text,
                raw_html=text.replace('<body', '<!-- raw --><body'), qas=_questions(text, told, name, rng))

def write_korquad21(folder: Path, articles: int, per_file: int = 250, seed: int = 0) -> list[Path]:
    "Files of `per_file` articles each."
    from korembed.data import sample_path
    source = json.loads(sample_path('train/articles.json').read_text(encoding='utf-8'))['data']
    rng, files = random.Random(seed), []
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(0, articles, per_file):
        data = [article(source, f'{n + i}', rng) for i in range(min(per_file, articles - n))]
        files.append(folder/f'korquad2.1_train_{n // per_file:02}.json')
        files[-1].write_text(json.dumps(dict(version='KorQuAD_2.1_train', data=data), ensure_ascii=False), encoding='utf-8')
    return files

# ---- the plain reader

def _load(path: Path) -> list[dict]:
    with open(path, encoding='utf-8') as f: return json.load(f)['data']

def _clean(page: str) -> str:
    page = re.sub(r'<(script|style)[^>]*>.*?</\1>', ' ', page, flags=re.S)
    page = re.sub(r'<!--.*?-->', ' ', page, flags=re.S)
    page = html.unescape(re.sub(r'<[^>]+>', ' ', page))
    page = re.sub(r'\[\s*(?:편집|\d+)\s*\]', ' ', page)
    return re.sub(r'\s+', ' ', page).strip()

def _chunks(text: str) -> list[tuple[int, str]]:
    "Sentences joined while 512 characters are not passed; where each begins."
    found, start, end = [], 0, 0
    for m in re.finditer(r'.+?(?:[.!?]\s|$)', text, re.S):
        if m.end() - start > 512 and end > start: found.append((start, text[start:end])); start = end
        end = m.end()
    return found + [(start, text[start:end])]

def plain(folder: Path) -> int:
    "Pairs of question and the chunk that holds the answer's beginning."
    with Pool(2) as pool: kept = [a for part in pool.map(_load, sorted(folder.glob('*.json')), chunksize=1) for a in part]
    pairs = []
    for a in kept:
        text = _clean(a['context'])
        chunks = _chunks(text)
        for q in a['qas']:
            at = text.find(_clean(q['answer']['text']))
            if at >= 0: pairs.append((q['question'], [c for s, c in chunks if s <= at][-1]))
    return len(pairs)

# ---- the libraries alone

def _bare(path: Path) -> int:
    import msgspec
    from selectolax.lexbor import LexborHTMLParser
    from semantic_text_splitter import TextSplitter
    splitter, file = TextSplitter(512, overlap=50), msgspec.defstruct('File', [('data', list[msgspec.Raw])])
    page = msgspec.json.Decoder(msgspec.defstruct('Article', [('context', str), ('qas', list)]))
    n = 0
    for a in map(page.decode, msgspec.json.decode(path.read_bytes(), type=file).data):
        assert splitter.chunk_indices(LexborHTMLParser(a.context.encode()).root.text())
        n += len(a.qas)
    return n

def bare(folder: Path) -> int:
    "Questions seen."
    with Pool(2) as pool: return sum(pool.map(_bare, sorted(folder.glob('*.json')), chunksize=1))

# ---- korembed

def ours(folder: Path) -> int:
    from korembed.data import make_pairs, read_qa
    return len(make_pairs(read_qa(folder)))

def cached(folder: Path) -> int:
    from korembed.data import read_qa
    return len(read_qa(folder))

# ---- each in a process of its own

def _family(pid: int) -> list[int]:
    "A process and all below it."
    found = [pid]
    for p in found:
        try: found += [int(c) for t in os.listdir(f'/proc/{p}/task') for c in Path(f'/proc/{p}/task/{t}/children').read_text().split()]
        except OSError: pass   # it has ended
    return found

def _memory(pid: int) -> int:
    "Bytes that a process and its children hold, shared pages counted once."
    total = 0
    for p in _family(pid):
        try: total += int(re.search(r'^Pss_Anon:\s+(\d+)', Path(f'/proc/{p}/smaps_rollup').read_text(), re.M)[1]) * 1024
        except OSError: pass
    return total

def _cpu() -> float:
    "Seconds of computing by this process and its children, those that have ended included."
    ticks = 0
    for p in _family(os.getpid()):
        try: ticks += sum(map(int, Path(f'/proc/{p}/stat').read_text().rsplit(')', 1)[1].split()[11:15]))   # own, and of ended children
        except OSError: pass
    return ticks / os.sysconf('SC_CLK_TCK')

def measure(what: str, folder: Path) -> dict:
    "Seconds of the work without imports, and the highest memory seen."
    child = subprocess.Popen([sys.executable, __file__, '--run', what, str(folder)], stdout=subprocess.PIPE, text=True)
    peak = 0
    while child.poll() is None:
        peak = max(peak, _memory(child.pid))
        time.sleep(.02)
    return json.loads(child.stdout.read()) | dict(memory=peak)

def run(what: str, folder: Path) -> None:
    if what in ('ours', 'cached'): import korembed.data   # noqa: F401
    began, spent = time.perf_counter(), _cpu()
    pairs = globals()[what](folder)
    print(json.dumps(dict(pairs=pairs, seconds=time.perf_counter() - began, cpu=_cpu() - spent)))

if __name__ == '__main__':
    if '--run' in sys.argv: run(sys.argv[2], Path(sys.argv[3])); sys.exit()
    articles = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as tmp:
        os.environ['KOREMBED_CACHE'] = f'{tmp}/cache'
        files = write_korquad21(Path(tmp)/'data', articles)
        got = {what: measure(what, Path(tmp)/'data') for what in ('plain', 'bare', 'ours', 'cached')}
        print(f'{articles} articles, {sum(f.stat().st_size for f in files) / 2**20:.0f} MiB in {len(files)} files')
    for what, m in got.items(): print(f"{what:8} {m['pairs']:6} questions {m['seconds']:8.2f} s {m['cpu']:8.2f} s of CPU {m['memory'] / 2**20:7.0f} MiB")
    p, o = got['plain'], got['ours']
    print('speed, plain to', *(f"{w} {p['seconds'] / got[w]['seconds']:.2f} (by CPU {p['cpu'] / got[w]['cpu']:.2f})" for w in ('bare', 'ours')),
          f"cached {p['seconds'] / got['cached']['seconds']:.0f}; memory, ours to plain {o['memory'] / p['memory']:.2f}")
