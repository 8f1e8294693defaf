"Make the pictures of the page that the docs show, on the demo's text and model: python tools/ui_pictures.py"
import io, json, shutil, tempfile
from pathlib import Path
from PIL import Image
from playwright.sync_api import sync_playwright
from korembed.data import sample_path
from korembed.indexing import FINETUNED, ORIGINAL, index, read_documents
from korembed.pipeline import keep_weights
from korembed.results import FILE
from korembed.ui import open_page

root = Path(__file__).resolve().parent.parent
QUESTION = '여덟 행성 가운데 궤도면이 황도면에서 가장 많이 기운 행성은 어느 것인가?'

def demo_page(home: Path):
    "The demo's text, indexed with the packaged model and with the one of submission/."
    paper = next((root/'submission').glob(f'*/{FILE}'))
    made = json.loads(paper.read_text(encoding='utf-8'))
    docs = read_documents(sample_path('eval/solar_system.txt'))
    for model, name in (('offline', ORIGINAL), (str(paper.parent/'model'/'lora_weights'), FINETUNED)):
        index(docs, model, name, home/'chroma_db', made['chunk_size'], made['chunk_overlap'])
    keep_weights(made, home/'chroma_db')
    return open_page(home/'chroma_db', paper, judge='lexical', port=0)

def write(png: bytes, name: str) -> None:
    "A picture of few colours, small enough for a repository."
    path = root/'nbs'/'images'/name
    path.parent.mkdir(exist_ok=True)
    Image.open(io.BytesIO(png)).convert('RGB').quantize(64).save(path, optimize=True)
    print(path.relative_to(root), path.stat().st_size, 'bytes')

def visit(browser, url: str, scheme: str):
    tab = browser.new_page(viewport=dict(width=1280, height=900), color_scheme=scheme)
    tab.goto(url)
    tab.fill('#query textarea', QUESTION)
    tab.click('#search')
    tab.wait_for_selector('#answer .ke-win', timeout=120_000)   # the judge comes last
    return tab

if __name__ == '__main__':
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, sync_playwright() as p:
        page = demo_page(Path(home))
        browser = p.chromium.launch(executable_path=shutil.which('chromium'), args=['--no-sandbox', '--disable-gpu', '--disable-background-networking'])
        tab = visit(browser, page.local_url, 'light')
        tab.wait_for_timeout(500)
        write(tab.screenshot(), 'ui_search.png')
        tab = visit(browser, page.local_url, 'dark')
        tab.get_by_label('English').check()
        tab.wait_for_selector('h2:text-is("What moved")')
        tab.locator('h2:text-is("What moved")').evaluate('e => e.scrollIntoView()')
        tab.wait_for_timeout(500)
        write(tab.screenshot(), 'ui_moved.png')
        browser.close(); page.close(verbose=False)
