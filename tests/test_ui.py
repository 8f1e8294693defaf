"The page in a real browser: one server, one browser, small collections, no network."
import contextlib, json, os, re, shutil, socket, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import httpx, pytest
from korembed import ui
from korembed.data import sample_path
from korembed.indexing import FINETUNED, ORIGINAL, index
from korembed.results import FILE
from korembed.store import open_client
from korembed.text import InputError, write_json

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script>${window.hacked=3}{{window.hacked=4}}@children'
QUESTION = '여덟 행성 가운데 궤도면이 황도면에서 가장 많이 기운 행성은 어느 것인가?'

def _collections(home: Path, root: Path) -> None:
    "A piece of the project's text and a hostile document, by the packaged model and by the one tuned from it."
    docs = {'태양계.txt': sample_path('eval/solar_system.txt').read_text(encoding='utf-8')[:2500], '<b>함정.txt': f'명왕성의 함정 {EVIL} 끝.'}
    tuned = next((root/'submission').glob('*/model/lora_weights'))
    for model, name in (('offline', ORIGINAL), (str(tuned), FINETUNED)): index(docs, model, name, home/'chroma_db', 140, 14, device='cpu')
    result = json.loads(next((root/'submission').glob(f'*/{FILE}')).read_text(encoding='utf-8'))
    max(result['per_query'], key=lambda r: r['tuned'] - r['base'])['query'] = EVIL   # stands in the report and among the examples
    write_json(home/FILE, result)

@pytest.fixture(scope='module')
def outside():
    "Every address that this process looks up or connects to, other than its own."
    seen, lookup, connect = [], socket.getaddrinfo, socket.socket.connect
    own = lambda host: str(host) in ('127.0.0.1', 'localhost', '::1', 'None', '')
    def getaddrinfo(host, *a, **kw):
        if not own(host): seen.append(host)
        return lookup(host, *a, **kw)
    def connecting(self, address):
        if isinstance(address, tuple) and not own(address[0]): seen.append(address)
        return connect(self, address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, 'getaddrinfo', getaddrinfo); patch.setattr(socket.socket, 'connect', connecting)
        yield seen

@pytest.fixture(scope='module')
def home(tmp_path_factory, root):
    folder = tmp_path_factory.mktemp('ui')
    _collections(folder, root)
    return folder

@pytest.fixture(scope='module')
def served(home, outside):
    "The page, running."
    blocks = ui.open_page(home/'chroma_db', judge='lexical', top_k=3, port=0, device='cpu')
    yield blocks
    blocks.close(verbose=False)

@pytest.fixture(scope='module')
def browser():
    found = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if not found: pytest.skip('no chromium here: install Debian\'s package chromium to test the page')
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=found, args=['--no-sandbox', '--disable-gpu', '--disable-background-networking'])
        yield chromium
        chromium.close()

@pytest.fixture(scope='module')
def requested() -> list: return []

@pytest.fixture(scope='module')
def opened(browser, served, requested):
    "Open the page; every request and every error of it is written down."
    @contextlib.contextmanager
    def visit(**how):
        context = browser.new_context(**how)
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.wrong = []
        tab.on('request', lambda r: requested.append(r.url))
        tab.on('pageerror', lambda e: tab.wrong.append(str(e)))
        tab.goto(served.local_url)
        tab.wait_for_selector('#query textarea')
        try: yield tab
        finally: context.close()
        assert not tab.wrong, tab.wrong
    return visit

@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    "Where screenshots are kept: the folder KOREMBED_SCREENSHOTS, else pytest's own."
    folder = Path(os.environ.get('KOREMBED_SCREENSHOTS') or tmp_path_factory.mktemp('screenshots'))
    folder.mkdir(parents=True, exist_ok=True)
    return folder

def write(tab, box: str, text: str) -> None:
    "Gradio sets a box to its first text shortly after showing it; a hand is slower than that, playwright is not."
    for _ in range(20):
        tab.fill(box, text)
        tab.wait_for_timeout(300)
        if tab.input_value(box) == text: return
    raise AssertionError(f'{box} does not keep what is written into it')

def search(tab, text: str) -> None:
    write(tab, '#query textarea', text)
    tab.click('#search')
    tab.wait_for_function('text => document.querySelector("#answer .ke-asked")?.innerText === text', arg=text)

def columns(tab) -> dict[str, list[str]]:
    "Texts of the hits under each heading."
    texts = lambda c: [h.inner_text() for h in c.query_selector_all('.ke-text')]
    return {c.query_selector('h2').inner_text(): texts(c) for c in tab.query_selector_all('#answer .ke-column')}

def test_search_shows_both_lists(opened, pictures):
    with opened() as tab:
        assert tab.title() == 'korembed: 검색 비교' and tab.evaluate('document.documentElement.lang') == 'ko'
        search(tab, QUESTION)
        found = columns(tab)
        assert list(found) == ['원래 모델', '튜닝한 모델', 'BM25 (글자)', '하이브리드 (BM25 + 튜닝)'] and all(len(h) == 3 for h in found.values())
        assert found['원래 모델'] != found['튜닝한 모델'] and '수성' in ' '.join(found['BM25 (글자)'])
        assert [e.inner_text() for e in tab.query_selector_all('.ke-column:first-child .ke-head b')] == ['1', '2', '3']
        assert '행성' in [e.inner_text() for e in tab.query_selector_all('mark')]
        shown = tab.inner_text('#answer')
        assert re.search(r'조각 \d+/\d+ · \d+~\d+자', shown) and re.search(r'\d+ ms', shown) and '계단' in shown
        assert '순위가 바뀐 조각' in shown and '순위를 더함 (RRF)' in shown
        tab.wait_for_selector('#answer .ke-win')
        shown = tab.inner_text('#answer')
        assert '승자: ' in shown and 'lexical' in shown and '심판 중' not in shown
        tab.screenshot(path=pictures/'search.png', full_page=True)

def _shown(tab, name: str) -> list[str]:
    tab.get_by_role('tab', name=name).click()
    return tab.inner_text('body').splitlines()

def test_language_is_switched(opened, pictures):
    with opened() as tab:
        search(tab, QUESTION)
        tab.wait_for_selector('#answer .ke-win')
        before = list(columns(tab).values())
        tab.get_by_label('English').check()
        tab.wait_for_function('() => document.querySelector("#answer h2")?.innerText === "Base"')
        assert list(columns(tab).values()) == before   # not asked twice
        assert tab.title() == 'korembed: search compared' and tab.evaluate('document.documentElement.lang') == 'en'
        assert [t.inner_text() for t in tab.get_by_role('tab').all()] == ['Search', 'Judge', 'Report', 'Text']
        for e in tab.query_selector_all('#answer h2, #answer thead th, #answer .ke-move'): assert not re.search('[가-힣]', e.inner_text())
        left = [line.strip() for name in ('Search', 'Judge', 'Report', 'Text') for line in _shown(tab, name)]
        assert not [w for w, _ in ui._WORDS.values() if w in left]
        tab.get_by_role('tab', name='Search').click()
        tab.screenshot(path=pictures/'english.png', full_page=True)
        tab.reload()   # the address remembers the language
        tab.wait_for_function('() => document.querySelector("#search")?.innerText.trim() === "Search"')
        search(tab, QUESTION)
        assert list(columns(tab))[0] == 'Base' and tab.title() == 'korembed: search compared' and tab.evaluate('document.documentElement.lang') == 'en'
        tab.get_by_label('한국어').check()
        tab.wait_for_function('() => document.querySelector("#answer h2")?.innerText === "원래 모델"')

def test_tabs_of_report_judge_and_text(opened, pictures):
    with opened() as tab:
        tab.get_by_role('tab', name='평가').click()
        told = tab.inner_text('#report')
        for piece in ('튜닝이 도움이 되었습니다: NDCG@10', '튜닝한 모델은 BM25보다 못합니다', '평가 설정: unseen', '가장 나빠진 질문'): assert piece in told, piece
        tab.locator('#report summary').first.click()
        assert tab.locator('#report details[open] .ke-column').count() == 2
        tab.screenshot(path=pictures/'report.png', full_page=True)
        tab.get_by_role('tab', name='심판').click()
        write(tab, '#questions textarea', f'{QUESTION}\n지구의 나이는?')
        tab.click('#judge_all')
        tab.wait_for_selector('#verdicts table')
        assert re.search(r'튜닝한 모델 \d : \d 원래 모델', tab.inner_text('#verdicts')) and tab.locator('#verdicts tbody tr').count() == 2
        tab.get_by_role('tab', name='본문').click()
        tab.get_by_label('문서').click()
        tab.get_by_role('option', name='태양계.txt').click()
        tab.wait_for_function('() => document.querySelector("#text .ke-document")?.innerText.includes("태양계는 항성인 태양과")')
        tab.screenshot(path=pictures/'text.png')

def test_bar_moves_while_the_judge_works(opened, monkeypatch):
    gate, many = threading.Event(), ui.judge_many
    def slow(*args):
        def step(done, of): args[-1](done, of); gate.wait(20)
        return many(*args[:-1], step)
    monkeypatch.setattr(ui, 'judge_many', slow)
    with opened() as tab:
        tab.get_by_role('tab', name='심판').click()
        write(tab, '#questions textarea', '수성은?\n금성은?\n지구는?')
        tab.click('#judge_all')
        try: tab.wait_for_function('() => /1\\s*\\/\\s*3/.test(document.querySelector("#verdicts").innerText)')
        finally: gate.set()
        tab.wait_for_selector('#verdicts table')

def test_lists_do_not_wait_for_the_judge(opened, monkeypatch, pictures):
    gate, judge, first = threading.Event(), ui.judge, '수성은 어떤 행성인가?'
    def slow(*args):
        if args[-1] == {'0': first}: gate.wait(20)
        return judge(*args)
    monkeypatch.setattr(ui, 'judge', slow)
    with opened() as tab:
        search(tab, first)
        assert len(columns(tab)['원래 모델']) == 3 and '심판 중' in tab.inner_text('#answer') and '승자' not in tab.inner_text('#answer')
        tab.screenshot(path=pictures/'judging.png', full_page=True)
        search(tab, '금성은?')   # nobody is kept from asking again
        gate.set()
        tab.wait_for_selector('#answer .ke-win')
        tab.wait_for_timeout(300)   # the first judgement comes too late and is not shown
        assert tab.inner_text('#answer .ke-asked') == '금성은?' and '심판 중' not in tab.inner_text('#answer')

def test_nothing_korean_in_english_nothing_english_in_korean(home, root):
    paper, desk = next((root/'submission').glob(f'*/{FILE}')), ui.Desk(home/'chroma_db', 'lexical', 'cpu')
    found = ui.consult(desk, ui.ask(desk, QUESTION, 1, judged=True))
    found['columns'] = [c | dict(hits=[h | dict(text='', source='') for h in c['hits']], texts=dict.fromkeys(c.get('texts', ()), '')) for c in found['columns']]
    missing = ui.consult(desk, ui.ask(desk, QUESTION, 1, base='no', judged=True))
    wrong = dict(error='openai: no key')
    def words(language):
        html = ''.join(map(str, (ui.report_html(paper, language), ui.report_html(root, language), ui.report_html(None, language),
            ui.answer_html(found, language), ui.answer_html(missing | dict(columns=missing['columns'][:1]), language), ui.answer_html(wrong, language),
            ui.verdicts_html(ui.judge_many(desk, QUESTION), language), ui.verdicts_html(ui.judge_many(desk, ''), language), ui.text_html(desk, 'no', 'x', language))))
        html = re.sub(r'<(span|p)[^>]* lang="en".*?</\1>|<details>.*?</details>|<code>.*?</code>|<ul.*?</ul>|="[^"]*"', '', html, flags=re.S)
        return re.sub('<[^>]+>', ' ', html).replace(QUESTION, '')
    assert not re.findall('[가-힣]+', words('en'))
    names = set('base tuned bm25 hybrid hybrid_base unseen lexical english.jsonl NDCG MRR Recall BM25 TF-IDF RRF HED n-gram DOCS MODEL ms p'.split())
    names |= {ORIGINAL, FINETUNED, 'no'}
    assert {w.strip('.') for w in re.findall(r'[A-Za-z][\w.-]*', words('ko'), re.ASCII)} - names == set()

def test_untrusted_text_is_only_text(opened):
    with opened() as tab:
        search(tab, f'명왕성의 함정 {EVIL}')
        assert any(EVIL in h for h in columns(tab)['BM25 (글자)']) and EVIL in tab.inner_text('.ke-asked')
        tab.wait_for_selector('.ke-quiet:has-text("<b>함정.txt")')
        tab.get_by_role('tab', name='평가').click()
        assert EVIL in tab.inner_text('#report')
        tab.get_by_role('tab', name='본문').click()
        tab.wait_for_function('() => document.querySelector("#text .ke-document")?.innerText.includes("onerror")')   # sorted first
        tab.get_by_role('tab', name='검색').click()
        tab.locator('#examples button').first.click()
        tab.wait_for_function('text => document.querySelector("#answer .ke-asked")?.innerText === text', arg=EVIL)
        tab.get_by_label('English').check()
        tab.wait_for_function('() => document.querySelector("#answer h2")?.innerText === "Base"')
        assert tab.evaluate('window.hacked') is None and tab.locator('#answer img, #answer script, #text img').count() == 0

def test_errors_are_shown_in_the_page(opened, home, monkeypatch, pictures):
    index({'가.txt': '곧 사라질 글이다.'}, 'offline', 'short_lived', home/'chroma_db', device='cpu')
    error = lambda words: tab.wait_for_function('w => document.querySelector("#answer .ke-error")?.innerText.includes(w)', arg=words)
    with opened() as tab:
        tab.click('#search')
        error('질문을 입력하세요')
        open_client(home/'chroma_db').delete_collection('short_lived')
        tab.get_by_role('button', name='설정').click()
        tab.get_by_label('튜닝한 모델의 컬렉션').click()
        tab.get_by_role('option', name='short_lived').click()
        search(tab, QUESTION)
        error('korembed index')
        assert '이 검색을 할 수 없습니다' in tab.inner_text('#answer .ke-error') and len(columns(tab)['원래 모델']) == 3   # the others answer
        tab.wait_for_selector('#answer .ke-error:has-text("심판은 원래 모델과 튜닝한 모델을 비교합니다")')
        tab.screenshot(path=pictures/'errors.png', full_page=True)
        tab.get_by_label('튜닝한 모델의 컬렉션').click()
        tab.get_by_role('option', name=FINETUNED).click()
        for wrong in (InputError('openai: no key; set OPENAI_API_KEY'), RuntimeError('the service burst')):
            def fail(*args, wrong=wrong): raise wrong
            monkeypatch.setattr(ui, 'judge', fail)
            search(tab, f'{wrong} {QUESTION}')
            error(str(wrong))
            assert '심판의 판정을 받을 수 없습니다' in tab.inner_text('#answer')
            assert all(len(h) == 3 for h in columns(tab).values()) and 'Traceback' not in tab.inner_text('body')
        (home/FILE).rename(home/'away.json')
        try:
            tab.get_by_label('English').check()
            tab.wait_for_function('() => document.querySelector("#search")?.innerText.trim() === "Search"')
            tab.get_by_role('tab', name='Report').click()
            assert f'no {FILE} here' in tab.inner_text('#report') and 'cannot be opened' in tab.inner_text('#report')
        finally: (home/'away.json').rename(home/FILE)

def test_keyboard_alone(opened):
    with opened() as tab:
        def go_to(want: str) -> None:
            for _ in range(60):
                tab.keyboard.press('Tab')
                if tab.evaluate('want => document.activeElement.matches(want) || !!document.activeElement.closest(want)', want): return
            pytest.fail(f'{want} is not reached with Tab')
        go_to('#query textarea')
        assert tab.evaluate('() => {const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.boxShadow}') != 'nonenone'
        tab.keyboard.type('지구의 나이는?')
        tab.keyboard.press('Enter')
        tab.wait_for_function('() => document.querySelector("#answer .ke-asked")?.innerText === "지구의 나이는?"')
        go_to('#examples button')
        tab.keyboard.press('Tab')
        second = tab.evaluate('document.activeElement.innerText').strip()
        tab.keyboard.press('Enter')
        tab.wait_for_function('text => document.querySelector("#answer .ke-asked")?.innerText === text', arg=second)
        go_to('#language input')
        go_to('#language input')
        tab.keyboard.press('Space')
        tab.wait_for_function('() => document.documentElement.lang === "en"')
        go_to('button[role=tab]')
        for _ in range(3):
            if tab.evaluate('document.activeElement.innerText') == 'Report': break
            tab.keyboard.press('Tab')
        tab.keyboard.press('Enter')
        tab.wait_for_selector('#report .ke-verdict:visible')

def test_narrow_dark_screen(opened, pictures):
    with opened(viewport=dict(width=390, height=844), color_scheme='dark') as tab:
        search(tab, QUESTION)
        boxes = [c.bounding_box() for c in tab.query_selector_all('#answer .ke-column')]
        assert len({b['x'] for b in boxes}) == 1   # one under another
        assert all(a['y'] + a['height'] <= b['y'] for a, b in zip(boxes, boxes[1:]))
        for name in ('검색', '심판', '평가', '본문'):
            tab.get_by_role('tab', name=name).click()
            assert tab.evaluate('document.documentElement.scrollWidth') <= 390, name
        tab.get_by_role('tab', name='검색').click()
        tab.screenshot(path=pictures/'narrow.png')

CONTRAST = '''() => {
const numbers = c => {const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m.slice(0, 3), 1] : m};
const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const light = c => .2126 * linear(c[0]) + .7152 * linear(c[1]) + .0722 * linear(c[2]);
const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
const behind = e => {const all = []; for (; e; e = e.parentElement) all.push(numbers(getComputedStyle(e).backgroundColor));
  return all.reverse().reduce((below, top) => over(top, below), [255, 255, 255])};
const typed = 'textarea, input:not([type=radio]):not([type=checkbox]):not([type=range])';
const low = [];
for (const e of document.querySelectorAll('body *')) {
  const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || (e.matches(typed) && e.value);
  if (!own || e.matches('script, style') || !e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  const s = getComputedStyle(e), b = behind(e), [x, y] = [light(over(numbers(s.color), b)), light(b)].sort((a, b) => b - a);
  const ratio = (x + .05) / (y + .05), size = parseFloat(s.fontSize), large = size >= 24 || size >= 18.66 && s.fontWeight >= 700;
  if (ratio < (large ? 3 : 4.5)) low.push([ratio.toFixed(2), e.className, (e.innerText || e.value).slice(0, 40)]);
} return low}'''
NAMELESS = '''() => [...document.querySelectorAll('input, textarea, button, select')].filter(e => e.checkVisibility()
&& !(e.labels?.length || e.ariaLabel || e.getAttribute('aria-labelledby') || e.innerText?.trim() || e.title)).map(e => e.outerHTML)'''

@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_labels_and_contrast(opened, scheme):
    with opened(color_scheme=scheme) as tab:
        search(tab, QUESTION)
        tab.get_by_role('button', name='설정').click()
        for name in ('검색', '심판', '평가', '본문'):
            tab.get_by_role('tab', name=name).click()
            tab.wait_for_timeout(300)   # colours fade in
            assert tab.evaluate(CONTRAST) == [] and tab.evaluate(NAMELESS) == [], name
        levels = tab.evaluate('[...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(e => e.checkVisibility()).map(e => +e.tagName[1])')
        assert levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:])), levels
        assert tab.locator('img:not([alt])').count() == 0

def _join(served, question: str) -> str:
    "What the browser does to ask: the HTML of the answer."
    button = next(b._id for b in served.blocks.values() if b.elem_id == 'search')
    function = next(d['id'] for d in served.config['dependencies'] if (button, 'click') in d['targets'])
    data = [question, 3, ['base', 'tuned', 'bm25', 'hybrid'], ORIGINAL, FINETUNED, False, '한국어']
    asked = dict(data=data, fn_index=function, session_hash=str(abs(hash(question))))
    with httpx.Client(base_url=served.local_url + 'gradio_api/', timeout=60) as client:
        assert client.post('queue/join', json=asked).status_code == 200
        with client.stream('GET', 'queue/data', params=dict(session_hash=asked['session_hash'])) as lines:
            for line in lines.iter_lines():
                said = json.loads(line.removeprefix('data:')) if line.startswith('data:') else {}
                if said.get('msg') == 'process_completed': return said['output']['data'][1]

def test_ten_at_once_each_get_their_own_answer(served, home):
    asked = [f'{q} ({i})' for i, q in enumerate(['태양', '수성', '금성', '지구', '화성', '목성', '토성', '천왕성', '해왕성', '혜성'])]
    with ThreadPoolExecutor(10) as pool: answers = list(pool.map(lambda q: _join(served, q), asked))
    desk, times = ui.Desk(home/'chroma_db', 'lexical', 'cpu'), lambda html: re.sub(r'\d+ ms', '', html)
    for q, html in zip(asked, answers): assert times(html) == times(str(ui.answer_html(ui.ask(desk, q, 3)))), q

def test_nothing_leaves_this_machine(served, requested, outside, opened):
    with opened() as tab:
        blocked = tab.evaluate('''() => new Promise(done => {addEventListener('securitypolicyviolation', e => done(e.blockedURI));
            fetch('http://192.0.2.1/').catch(() => {}); setTimeout(() => done(null), 5000)})''')
    assert blocked == 'http://192.0.2.1/'   # even a page that wanted to could not
    assert len(requested) > 20
    assert [u for u in requested if not u.startswith((served.local_url, 'data:', 'blob:', 'http://192.0.2.1/'))] == []
    assert outside == []

def test_what_is_wrong_is_told_before_the_page_opens(served, home):
    port = int(served.local_url.rstrip('/').rsplit(':', 1)[1])
    with pytest.raises(InputError, match=f'port {port}: .*in use.*--port'): ui.open_page(home/'chroma_db', port=port)
    with pytest.raises(InputError, match='no index here'): ui.open_page(home)
    with pytest.raises(InputError, match='USER:PASSWORD'): ui.open_page(home/'chroma_db', auth='me')

@pytest.mark.parametrize('headers, status', [({}, 200), (dict(origin='http://{own}'), 200), (dict(origin='http://evil.example'), 403),
    (dict(origin='null'), 403), (dict(host='evil.example'), 403), (dict(host='evil.example', origin='http://evil.example'), 403), (dict(host='[::'), 403)])
def test_no_other_site_is_answered(served, headers, status):
    "Not under its own name, and not under one of its own that leads here."
    own = served.local_url.split('/')[2]
    for path in ('', 'config', 'gradio_api/info'):
        assert httpx.get(served.local_url + path, headers={k: v.format(own=own) for k, v in headers.items()}, trust_env=False).status_code == status, path
    assert httpx.post(served.local_url + 'gradio_api/upload', files=dict(files=b'x'), trust_env=False).status_code == 403

def test_on_the_network_a_page_still_asks_for_itself_alone():
    asked = lambda host, origin, local: ui._asked_by_another({b'host': host, **({b'origin': origin} if origin else {})}, local)
    assert not asked(b'search.corp:80', b'', False) and not asked(b'search.corp', b'https://search.corp', False)
    assert asked(b'search.corp', b'https://evil.example', False) and asked(b'search.corp', b'', True)
    assert not any(asked(h, b'', True) for h in (b'localhost:7860', b'127.0.0.1:7860', b'[::1]:7860'))

def test_gradio_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(InputError, match=r"pip install 'korembed\[ui\]'"): ui.page(ui.Desk())

def test_command_warns_asks_for_a_password_and_ends_quietly(home, monkeypatch, caplog, capsys):
    from korembed.cli import main
    for name in ('NO_PROXY', 'no_proxy'): monkeypatch.delenv(name, raising=False)
    for name in ('HTTP_PROXY', 'http_proxy'): monkeypatch.setenv(name, 'http://127.0.0.1:9')   # no such proxy
    monkeypatch.setenv('KOREMBED_AUTH', 'me:secret')
    codes, sleep = [], time.sleep
    def wait(seconds: float) -> None:
        if seconds < 60: return sleep(seconds)
        codes.append(httpx.get(capsys.readouterr().out.split()[1] + 'config', trust_env=False).status_code)
        raise KeyboardInterrupt   # as Ctrl-C does
    monkeypatch.setattr(time, 'sleep', wait)
    typed = ['ui', '--db-path', str(home/'chroma_db'), '--host', '0.0.0.0', '--port', '0', '--judge', 'lexical']
    try: code = main(typed) or 0
    except SystemExit as e: code = e.code or 0
    assert code == 0 and codes == [401] and 'password travels unencrypted' in caplog.text and 'secret' not in caplog.text
    out, err = capsys.readouterr()
    assert 'Traceback' not in err and 'secret' not in out + err
