"""The pages: notebooks, README and the project's papers, through Sphinx.

Usage: python docs/build.py [OUT]
(OUT: the folder to write, _docs by default)

Sphinx reads a copy in which everything lies as in the repository, so a link is the same in both. No warning is suppressed: a dead link, a
page that no list names or a formula that cannot be set ends the build.
"""
import ast, posixpath, re, shutil, subprocess, sys, tempfile
from pathlib import Path
from execnb.nbio import mk_cell, write_nb
from nbdev.process import NBProcessor
from nbdev.processors import filter_stream_, hide_, hide_line, rm_header_dash, strip_ansi
from symbols import defined, directives

root = Path(__file__).resolve().parent.parent

# ---- which pages there are

# in this order those there are, then all others
GUIDES = ['choosing_a_base', 'your_documents', 'synthetic', 'infonce', 'negatives', 'recipe', 'tensorboard', 'gpu',
          'chroma', 'rag', 'tasks', 'serving', 'troubleshooting', 'further_reading']
# in the list at the side, where a page's own title is too long
SHORT = {'nbs/10a_walk': 'On your own documents', 'nbs/guides/rag': 'LangChain and LlamaIndex', 'nbs/guides/chroma': 'Plain Chroma',
         'nbs/guides/tasks': 'Other uses of vectors', 'nbs/guides/negatives': 'False negatives', 'README.ko': '소개',
         'nbs/guides/your_documents': 'Your own documents', 'submission/complete_pipeline': 'The whole walk', 'data/README': 'The data'}
# what is another page here
INSTEAD = {'README.md': 'index.md', 'nbs/index.ipynb': 'index.md', 'nbs': 'docs/house.md', 'benchmarks': 'docs/benchmarks.md'}

def pages(pattern: str) -> list[str]:
    "Pages by their file, without its ending."
    return sorted(p.relative_to(root).with_suffix('').as_posix() for p in root.glob(pattern))

def side_rooms(stage: str) -> list[str]:
    "The lettered rooms of a stage."
    return pages(f"{stage.split('_')[0]}[a-z]_*.ipynb")

def sections() -> dict[str, list[str]]:
    "The list at the side: heading -> pages; side rooms stand under their stage."
    known, guides = [f'nbs/guides/{g}' for g in GUIDES], pages('nbs/guides/*.ipynb')
    korean = [p for p in [*pages('README.ko.md'), *guides] if p.endswith(('.ko', '_ko'))]
    found = {'한국어': korean, 'The walk': [*pages('nbs/0[0-9]_*.ipynb'), 'submission/complete_pipeline'],
             'Faces': pages('nbs/1[0-9]_*.ipynb'),
             'Guides': [g for g in known if g in guides] + [g for g in guides if g not in known + korean],
             'Reference': ['docs/house', 'docs/commands', 'docs/api', 'docs/benchmarks', 'docs/known_bugs'],
             'Project': ['data/README', 'CONTRIBUTING', 'CHANGELOG']}
    return {k: v for k, v in found.items() if v}

def toctree(names: list[str], *options: str) -> str:
    "A list of pages, as Sphinx reads it."
    entries = (f'{SHORT[n]} </{n}>' if n in SHORT else f'/{n}' for n in names)
    return '\n'.join(['```{toctree}', *options, '', *entries, '```'])

# ---- links

def linked(text: str, here: str, copy: Path) -> str:
    "Links to what is another page here are led there; a file of the repository that is linked is copied, too."
    def lead(m: re.Match) -> str:
        path, anchor = (m[2] + '#').split('#')[:2]
        target = posixpath.normpath(posixpath.join(here, path))
        if target in INSTEAD: return f"{m[1]}{posixpath.relpath(INSTEAD[target], here or '.')}{'#' * bool(anchor)}{anchor}{m[3]}"
        if (root/target).is_file() and not target.endswith(('.md', '.ipynb')):
            (copy/target).parent.mkdir(parents=True, exist_ok=True); shutil.copy(root/target, copy/target)
        return m[0]
    return re.sub(r'(\]\()(?![a-z]+:|#)([^)\s]+)([)\s])', lead, text)

# ---- notebooks

def named(text: str, owners: dict[str, str]) -> str:
    "Names of functions and classes in running text lead to their description; short common words do not."
    parts = re.split(r'(^```.*?^```|^#.*?$|\[[^\]]*\]\([^)]*\))', text, flags=re.M | re.S)
    known = lambda m: f'{{py:obj}}`{m[1]} <{owners[m[1]]}>`' if m[1] in owners and ('_' in m[1] or m[1] != m[1].lower()) else m[0]
    return ''.join(p if i % 2 else re.sub(r'(?<![`}])`(\w+)(?:\(\))?`(?!`)', known, p) for i, p in enumerate(parts))

def module_of(nb) -> str | None:
    "The module that a notebook makes; guides make none."
    return next((c.directives_['default_exp'][0] for c in nb.cells if 'default_exp' in c.directives_), None)

def opened(path: Path) -> NBProcessor:
    "A notebook with its directives read; hidden cells and lines go when it is processed."
    return NBProcessor(path, [filter_stream_, hide_, hide_line, rm_header_dash, strip_ansi])

def exports(nb) -> dict:
    "The public functions and classes of a notebook: name -> node."
    return {n.name: n for c in nb.cells if c.cell_type == 'code' and 'export' in c.directives_ for n in defined(c.source)}

def notebook(proc: NBProcessor, name: str, owners: dict[str, str], copy: Path) -> None:
    "Write the page of a notebook: what a cell exports is described, and its source can be opened."
    module, here, cells, heading = module_of(proc.nb), posixpath.dirname(name), [], ''
    proc.process()
    for cell in proc.nb.cells:
        if cell.cell_type == 'markdown':
            heading = (re.findall(r'^#+ (.*)$', cell.source, re.M) or [heading])[-1]
            cell.source = named(linked(cell.source, here, copy), owners)
            cells.append(cell)
            if len(cells) == 1 and module: cells.append(mk_cell(f'```{{py:module}} korembed.{module}\n```', 'markdown'))
            continue
        if 'default_exp' in cell.directives_ or 'nbdev_export()' in cell.source: continue
        cell.source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M)
        cell.metadata['mystnb'] = dict(image=dict(alt=f'Picture under “{heading}”; the text around it says what it shows'))
        if 'export' in cell.directives_ or 'exporti' in cell.directives_:
            cell.metadata['tags'] = ['hide-input']
            if text := directives(cell.source) if 'export' in cell.directives_ else '':
                cells.append(mk_cell(text, 'markdown'))
        cells.append(cell)
    if rooms := side_rooms(name) if here == 'nbs' else []:
        cells.append(mk_cell('## Side rooms\n\n' + toctree(rooms, ':maxdepth: 1'), 'markdown'))
    proc.nb.cells = cells
    (copy/here).mkdir(parents=True, exist_ok=True)
    write_nb(proc.nb, copy/f'{name}.ipynb')

def api(rooms: dict[str, tuple[str, dict]]) -> str:
    "Every public function and class of every module, with its first line."
    lines = ['# All functions', '', 'Each name leads to its signature, its parameters and the prose around it;',
             'each module to its notebook. In Python, `from korembed.MODULE import NAME`; ten names can be had from `korembed` itself.', '']
    first = lambda node: (ast.get_docstring(node) or '').split('\n')[0].replace('<', r'\<')
    for module, (page, nodes) in rooms.items():
        lines += [f'## {module}', '', f'{{doc}}`/{page}`', '']
        lines += [f'- {{py:obj}}`{n} <korembed.{module}.{n}>`: {first(node)}' for n, node in nodes.items()]
        lines.append('')
    return '\n'.join(lines)

def said(*args: str) -> str:
    "What a Python program prints."
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, encoding='utf-8', check=True, cwd=root).stdout

def commands() -> str:
    "The help of every command, as typer writes it down, and what each was tried on."
    help = said('-m', 'typer', 'korembed.cli', 'utils', 'docs', '--name', 'korembed', '--title', 'Commands')
    return f"""{help}
## How they were tried

Every command that these pages, the README and the help print is run by a test as it is printed, in an empty folder, on a machine without hub, key and
graphics card. What stood in for what was not there:

{said('tests/test_commands.py')}"""

def room_table(books: dict[str, NBProcessor]) -> str:
    "Number, name and purpose of every notebook."
    rows = []
    for page, book in books.items():
        if m := re.match(r'nbs/(\w\w\w?)_', page):
            title, purpose = re.search(r'^# (.*)\n(?:> (.*))?', next(c.source for c in book.nb.cells if c.cell_type == 'markdown')).groups()
            rows.append(f"| {m[1]} | [{title}](../{page}.ipynb) | {(purpose or '').replace('|', '&#124;')} |")
    return '\n'.join(['| | room | what for |', '|---|---|---|', *sorted(rows)])

def results() -> str:
    "What the benchmarks printed when they were last run for the pages."
    kept = sorted((root/'benchmarks'/'results').glob('*.txt'))
    return '\n\n'.join(f'`{p.stem}.py`:\n\n```text\n{p.read_text(encoding="utf-8").rstrip()}\n```' for p in kept)

# ---- all of it

def write_sources(copy: Path) -> None:
    "The copy that Sphinx reads."
    every = [p for part in sections().values() for p in part]
    every += [r for p in every if p.startswith('nbs/') and p.count('/') == 1 for r in side_rooms(p)]
    books = {p: opened(root/f'{p}.ipynb') for p in every if (root/f'{p}.ipynb').is_file()}
    rooms = {m: (p, exports(b.nb)) for p, b in books.items() if (m := module_of(b.nb))}
    owners = {}
    for m, (_, nodes) in rooms.items():
        for n in nodes: owners[n] = '' if n in owners else f'korembed.{m}.{n}'
    owners = {n: o for n, o in owners.items() if o}   # a name that two modules have leads nowhere
    for name, book in books.items(): notebook(book, name, owners, copy)
    (copy/'docs').mkdir()
    filled = {'<!-- rooms -->': room_table(books), '<!-- results -->': results()}
    made = {'docs/api': api({m: v for m, v in rooms.items() if v[1]}), 'docs/commands': commands()}
    for name in [*(p for p in every if p not in books), 'index']:
        text = made.get(name) or (root/('README.md' if name == 'index' else f'{name}.md')).read_text(encoding='utf-8')
        if name == 'index': text += '\n\n'.join(['', *(toctree(v, ':hidden:', f':caption: {k}') for k, v in sections().items())])
        for mark, what in filled.items(): text = text.replace(mark, what)
        (copy/name).parent.mkdir(parents=True, exist_ok=True)
        (copy/f'{name}.md').write_text(linked(text, posixpath.dirname(name), copy), encoding='utf-8')
    shutil.copytree(root/'docs'/'static', copy/'static')
    shutil.copy(root/'docs'/'conf.py', copy)

def main(out: str = '_docs') -> int:
    "Build; the exit status is Sphinx's."
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp)/'korembed'
        write_sources(copy)
        sphinx = [sys.executable, '-m', 'sphinx', '-W', '-q', '-b', 'html', '-d', f'{tmp}/doctrees']
        return subprocess.run([*sphinx, str(copy), out]).returncode

if __name__ == '__main__':
    if len(sys.argv) > 2: sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
