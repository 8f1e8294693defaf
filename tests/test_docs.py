"The pages: built once without a warning, then read as files and in a browser."
import re, shutil, subprocess, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit
import pytest
import yaml
from selectolax.lexbor import LexborHTMLParser
from test_package import imports, modules

pytest.importorskip('myst_nb', reason="the extra 'docs' is not installed")

@pytest.fixture(scope='module')
def docs(root):
    "The scripts in docs/, as modules."
    sys.path.insert(0, str(root/'docs'))
    try:
        import build, diagrams
        yield {'build': build, 'diagrams': diagrams}
    finally: sys.path.remove(str(root/'docs'))

@pytest.fixture(scope='module')
def site(root, tmp_path_factory):
    "The folder of the pages."
    out = tmp_path_factory.mktemp('docs')/'site'
    done = subprocess.run([sys.executable, 'docs/build.py', str(out)], cwd=root, capture_output=True, text=True, encoding='utf-8')
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr
    return out

@pytest.fixture(scope='module')
def parsed(site):
    "Path below the site -> page; the lists of all names, which Sphinx makes, among them."
    files = [p for p in sorted(site.rglob('*.html')) if '_static' not in p.parts]
    return {p.relative_to(site).as_posix(): LexborHTMLParser(p.read_text(encoding='utf-8')) for p in files}

@pytest.fixture(scope='module')
def ids(parsed):
    "What can be jumped to on each page."
    return {name: {n.attributes['id'] for n in page.css('[id]')} for name, page in parsed.items()}

def written(root):
    "The pages that people write."
    found = [*(root/'nbs').glob('*.ipynb'), *(root/'nbs'/'guides').glob('*.ipynb'), *(root/'submission').glob('*.ipynb'),
             *root.glob('*.md'), *(root/'docs').glob('*.md'), root/'data'/'README.md']
    names = {p.relative_to(root).with_suffix('.html').as_posix() for p in found} - {'nbs/index.html', 'README.html'}
    return names | {'index.html', 'docs/api.html', 'docs/commands.html'}

# ---- as files

def test_every_page_is_there_and_in_the_list_at_the_side(root, site, parsed):
    assert written(root) | {'genindex.html', 'py-modindex.html', 'search.html'} == set(parsed)
    listed = {a.attributes['href'] for a in parsed['index.html'].css('nav.bd-links a')}
    assert written(root) - {'index.html'} == listed

LOADED = ('script[src], img[src], iframe, source, video, audio, embed, object, '
          'link[rel~=stylesheet], link[rel~=icon], link[rel~=preload]')

def test_nothing_is_loaded_from_elsewhere(site, parsed):
    for name, page in parsed.items():
        for n in page.css(LOADED):
            where = n.attributes.get('src') or n.attributes.get('href') or ''
            assert where and not re.match(r'[a-z]+://|//', where), (name, n.html[:200])
    for css in site.rglob('*.css'):
        text = css.read_text(encoding='utf-8')
        assert not re.search(r'(?:url\(|@import)\s*["\']?(?:https?:)?//', text), css

def test_every_link_inside_leads_somewhere(site, parsed, ids):
    seen = 0
    for name, page in parsed.items():
        for a in page.css('a[href]'):
            url = urlsplit(a.attributes['href'])
            if url.scheme or url.netloc: continue
            path = (site/name).parent/unquote(url.path) if url.path else site/name
            target = path.resolve().relative_to(site.resolve()).as_posix()
            assert path.is_file(), (name, a.attributes['href'])
            if url.fragment and target in ids: assert unquote(url.fragment) in ids[target], (name, a.attributes['href'])
            seen += 1
    assert seen > 5000

def test_no_page_claims_a_site_or_repository_that_does_not_exist(parsed):
    for name, page in parsed.items():
        links = [a.attributes['href'] for a in page.css('a[href], link[href]')]
        assert not any(re.search(r'\.invalid|github\.io|github\.com/korembed', l) for l in links), name

def test_each_page_says_what_it_is(root, parsed):
    for name in written(root):
        page = parsed[name]
        assert page.css_first('title').text().strip(), name
        assert page.css_first('html').attributes['lang'] == ('ko' if re.search(r'[._]ko\.html', name) else 'en'), name
        heads = [int(h.tag[1]) for h in page.css_first('article.bd-article').css('h1, h2, h3, h4, h5, h6')]
        assert heads.count(1) == 1 and heads[0] == 1, (name, heads)
        assert all(b - a <= 1 for a, b in zip(heads, heads[1:])), (name, heads)
        for img in page.css('article.bd-article img'): assert len(img.attributes.get('alt') or '') > 10, (name, img.html)
        for part in page.css('article.bd-article'): assert not re.search(r'^#\|', part.text(), re.M), name

def test_every_exported_name_is_described_with_its_comments(root, docs, parsed, ids):
    names = 0
    for path in modules(root).values():
        page = re.search(r'File to edit: \.\./(.*)\.ipynb', path.read_text(encoding='utf-8'))[1] + '.html'
        for node in docs['build'].defined(path.read_text(encoding='utf-8')):
            assert f'korembed.{path.stem}.{node.name}' in ids[page], (page, node.name)
            names += 1
    assert names > 150
    assert len(parsed['docs/api.html'].css('article.bd-article li > p > a, article.bd-article li a.reference')) >= names
    said = parsed['nbs/01_data.html'].css_first('[id="korembed.data.read_qa"]').parent.text()
    assert 'path: a file of questions in any of FORMATS' in said and 'format:' in said and 'Returns' in said

def test_formulas_need_no_script(parsed):
    page = parsed['nbs/guides/infonce.html']
    assert len(page.css('math')) >= 3 and 'MathJax' not in page.html

def test_symbols_are_read_as_they_stand(root, docs):
    from symbols import directives
    said = directives('class A:\n    "Holds."\n    def __init__(self, x: int = 3,  # a * b\n    ): pass\n'
                      '    @property\n    def y(self) -> int: return 1\n    def _z(self): pass\n\n'
                      'def f(a, *, b: str | None = None,  # `code`, and <b>\n) -> int:  # how many\n    "Does."\n\ndef _g(): pass\n')
    assert said.splitlines() == [
        '````{py:class} A(x: int=3)', '', 'Holds.', '', r':param x: a \* b', '', '```{py:property} y', '', '', '```', '````', '',
        '````{py:function} f(a, *, b: str | None=None) -> int', '', 'Does.', '',
        r':param b: `code`, and \<b\>', ':returns: how many', '````']
    assert directives('@app.command()\ndef f(): pass\n_x = 1') == ''

# ---- what the pages say of the project

def test_the_workflow_builds_as_make_docs_does(root, docs):
    steps = yaml.safe_load((root/'.github'/'workflows'/'docs.yml').read_text(encoding='utf-8'))['jobs']['pages']['steps']
    assert [s['run'] for s in steps if 'run' in s] == ['make docs']
    path, = [s['with']['path'] for s in steps if 'upload-pages-artifact' in s.get('uses', '')]
    assert (path,) == docs['build'].main.__defaults__
    recipe = re.search(r'^docs: \.venv/ready.*\n((?:\t.*\n)+)', (root/'Makefile').read_text(encoding='utf-8'), re.M)[1]
    assert recipe.split() == ['$(BIN)/python', 'docs/build.py']

def test_the_pictures_show_the_house_as_it_is(root, docs):
    d = docs['diagrams']
    own = modules(root)
    assert d.imports() == {n: imports(p, False) & set(own) for n, p in own.items()}
    for name, draw in d.PICTURES.items():
        assert (root/'docs'/name).read_text(encoding='utf-8') == draw(), f'docs/{name} is old; type: python docs/diagrams.py'
    rooms = {r for _, r, _, _ in d.WALK for r in r.split(', ')}
    assert rooms <= set(own), rooms - set(own)
    help = docs['build'].commands()
    for _, _, command, _ in d.WALK: assert f'## `korembed {command}`' in help, command

def test_the_benchmark_page_knows_every_script(root):
    text = (root/'docs'/'benchmarks.md').read_text(encoding='utf-8')
    scripts = {p.name for p in (root/'benchmarks').glob('*.py')}
    assert set(re.findall(r'^\| `(\w+\.py)` \|', text, re.M)) == scripts
    kept = {p.stem + '.py' for p in (root/'benchmarks'/'results').glob('*.txt')}
    assert kept and kept <= scripts

# ---- in a browser

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

@pytest.fixture(scope='module')
def served(site):
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()

@pytest.fixture(scope='module')
def browser():
    path = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if not path: pytest.skip('no chromium here: the pages are not looked at in a browser')
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=path, args=['--no-sandbox', '--disable-gpu', '--disable-background-networking'])
        yield chromium
        chromium.close()

@pytest.fixture
def page(browser, served):
    "A page that keeps account of what it asks for and of errors."
    context = browser.new_context(viewport=dict(width=1280, height=900), color_scheme='light')
    page = context.new_page()
    page.set_default_timeout(15_000)
    asked, wrong = [], []
    page.on('request', lambda r: asked.append(r.url))
    page.on('pageerror', lambda e: wrong.append(str(e)))
    page.on('console', lambda m: wrong.append(m.text) if m.type == 'error' else None)
    yield page
    context.close()
    assert asked and not [u for u in asked if not u.startswith((served, 'data:'))]
    assert not wrong, wrong

def found(page, served, words):
    "Pages that a search finds, best first."
    page.goto(f'{served}search.html?q={words}')
    page.wait_for_function('document.querySelector("#search-results .search-summary")?.textContent.match(/\\d|not match/)')
    return page.eval_on_selector_all('#search-results ul.search > li > a', 'all => all.map(a => new URL(a.href).pathname.slice(1))')

@pytest.mark.parametrize('words, where', [('한라산', 'nbs/guides/infonce.html'), ('라산', 'nbs/guides/infonce.html'),
                                          ('read_qa', 'nbs/01_data.html'), ('false negatives', 'nbs/03a_negatives.html')])
def test_search_finds_korean_and_english(page, served, words, where):
    assert where in found(page, served, words)

def test_search_says_when_there_is_nothing(page, served):
    assert found(page, served, '뷁뷁') == []

def test_light_and_dark(page, served):
    page.goto(served)
    shown = lambda: page.evaluate('[document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]')
    assert shown() == ['light', 'rgb(255, 255, 255)']
    def choose(mode):
        page.get_by_role('button', name='Color mode').click()
        page.locator(f'button.theme-change-button[data-mode={mode}]').first.click()
        return shown()
    theme, colour = choose('dark')
    assert theme == 'dark' and sum(map(int, re.findall(r'\d+', colour)[:3])) < 150, colour
    page.goto(served + 'nbs/01_data.html')
    assert shown() == [theme, colour]   # kept from page to page
    assert choose('light')[0] == 'light'

def test_by_keyboard_alone(page, served):
    page.goto(served)
    page.keyboard.press('Tab')
    assert 'Skip' in page.evaluate('document.activeElement.textContent')
    reached = []
    for _ in range(6):
        page.keyboard.press('Tab')
        reached.append(page.evaluate('document.activeElement.className'))
    assert any('search-button' in c for c in reached), reached
    page.keyboard.press('Control+k')
    page.wait_for_function('document.activeElement.name === "q"')
    page.keyboard.type('한글'); page.keyboard.press('Enter')
    page.wait_for_selector('#search-results li a')
    page.goto(served + 'nbs/05_retrieval.html')
    source = page.locator('details > summary').nth(1)
    source.focus(); page.keyboard.press('Enter')
    assert source.evaluate('s => s.parentElement.open')

def test_a_narrow_screen_scrolls_one_way_only(browser, served, root):
    context = browser.new_context(viewport=dict(width=390, height=800))
    page = context.new_page()
    wide = {}
    for name in sorted(written(root)):
        page.goto(served + name, wait_until='domcontentloaded')
        if (width := page.evaluate('document.documentElement.scrollWidth')) > 390: wide[name] = width
    context.close()
    assert not wide, wide
