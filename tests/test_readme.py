"What the READMEs and the Korean start page say, as it stands there."
import json, re, shutil
from processes import Running
from korembed.data import sample_path

def execute(code): exec(code, {'__name__': '__main__'})

def test_ten_lines_of_python(root, tmp_path):
    code, = re.findall(r'```python\n(.*?)```', (root/'README.md').read_text(encoding='utf-8'), re.S)
    shutil.copy(sample_path('train/html.json'), tmp_path/'questions.json')
    (tmp_path/'docs').mkdir(); (tmp_path/'docs'/'글.txt').write_text('세종은 1443년에 한글을 만들었다.\n', encoding='utf-8')
    running = Running(execute, code, cwd=tmp_path)
    out, err = running.communicate()
    assert running.returncode == 0, err
    assert "'verdict'" in out and '한글을 만들었다' in out

def numbers(text: str) -> set[str]:
    "Numbers in a text, without what stands in addresses of links; English words count as digits."
    words = dict(two='2', five='5')
    digits = re.findall(r'\d[\d.,]*', re.sub(r'\]\([^)]*\)', ']', text))
    return {n.rstrip('.,') for n in digits} | {n for w, n in words.items() if re.search(rf'\b{w}\b', text)}

def indented(text: str) -> list[str]:
    "Commands and tables, without remarks."
    return [re.sub(r'\s+# .*', '', l) for l in text.splitlines() if l.startswith('    ')]

def test_korean_readme_says_what_the_english_one_says(root):
    english, korean = ((root/name).read_text(encoding='utf-8') for name in ('README.md', 'README.ko.md'))
    assert len(numbers(korean)) > 20 and numbers(korean) <= numbers(english), numbers(korean) - numbers(english)
    assert len(indented(korean)) > 12 and not set(indented(korean)) - set(indented(english))
    table = [l for l in indented(english) if re.match(r' +(NDCG@10 |\w+ +0\.)', l)]
    assert len(table) == 6 and [l for l in indented(korean) if l in table] == table
    lines = lambda text: [l.split('  #')[0].rstrip() for l in re.search(r'```python\n(.*?)```', text, re.S)[1].splitlines()]
    assert lines(korean) == lines(english)
    names, = re.findall(r'`(read_qa, [^`]*)`', english)
    assert f'`{names}`' in korean
    targets = re.findall(r'\]\(([^)#]+)\)', korean)
    assert len(targets) > 10
    for t in targets: assert (root/t).exists(), t
    commands = lambda text: {l.split()[1] for l in indented(text) if l.startswith('    korembed ')}
    assert commands(korean) == commands(english) and len(commands(english)) > 10
    guides = lambda text: set(re.findall(r'nbs/guides/\w+\.ipynb', text))
    assert guides(english) <= guides(korean) == {f'nbs/guides/{p.name}' for p in (root/'nbs'/'guides').glob('*.ipynb')}
    said = [l for l in indented(english) if re.match(r'    (Tuning|BM25|the tuned|hybrid,|No clear|Not one|Something|Better)', l)]
    assert len(said) > 3 and [l for l in indented(korean) if l in said] == said
    assert korean.splitlines()[0] != english.splitlines()[0]   # two pages, two titles

def test_korean_start_page_explains_the_result_it_shows(root):
    cells = json.loads((root/'nbs'/'guides'/'getting_started_ko.ipynb').read_text(encoding='utf-8'))['cells']
    at, = (i for i, c in enumerate(cells) if ''.join(c['source']).startswith('print(verdict_line('))
    shown, said = ''.join(cells[at]['outputs'][0]['text']), ''.join(cells[at + 1]['source'])
    said = said[:said.index('## ')]
    told = re.findall(r'\d\.\d+', said)
    assert len(told) >= 3 and all(n in shown for n in told), (told, shown)
    opening, = re.findall(r'^1\. \*(.+?)\*', said, re.M)
    assert shown.startswith(opening)

def test_links_between_pages_lead_somewhere(root):
    pages, links = [*(root/'nbs').rglob('*.ipynb'), *(root/'submission').glob('*.ipynb')], 0
    for path in pages:
        if '.ipynb_checkpoints' in path.parts: continue
        for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
            if cell['cell_type'] != 'markdown': continue
            for target in re.findall(r'\]\((?!https?:|#)([^)\s#]+)', ''.join(cell['source'])):
                links += 1
                assert (path.parent/target).exists(), (path.name, target)
    assert links > 100
