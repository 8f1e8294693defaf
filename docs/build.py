"The pages: notebooks as nbdev processes them, through Sphinx, into _docs."
import os, re, shutil, subprocess, sys
from pathlib import Path
import nbformat

root = Path(__file__).resolve().parent.parent
os.chdir(root)   # nbdev finds its settings from here
from nbdev.serve import proc_nbs

def for_sphinx(path: Path) -> None:
    "Front matter becomes a heading; cells that only print documentation lose their source."
    nb = nbformat.read(path, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == 'raw':
            said = dict(re.findall(r'^(title|description): *"?(.*?)"?$', cell.source, re.M))
            cell.cell_type, cell.source = 'markdown', f"# {said.get('title', path.stem)}\n\n> {said.get('description', '')}"
        elif cell.source.startswith('#| echo: false'): cell.metadata['tags'] = ['remove-input']
        cell.source = re.sub(r'^#\|.*\n', '', cell.source, flags=re.M)
    nbformat.write(nb, path)

def index(pages: Path) -> str:
    "The README, with the pages behind it."
    text = (root/'README.md').read_text(encoding='utf-8')
    text = re.sub(r'\]\(nbs/', '](', text)
    text = re.sub(r'\]\((?!https?:|(?:guides/)?[\w-]+\.ipynb)([^)]+)\)', r'](../\1)', text)
    names = sorted(p.stem for p in pages.glob('[0-9]*.ipynb')) + sorted(f'guides/{p.stem}' for p in pages.glob('guides/*.ipynb'))
    return '\n'.join([text, '```{toctree}', ':maxdepth: 1', ':hidden:', '', *names, 'complete_pipeline', '```', ''])

if __name__ == '__main__':
    pages = Path(proc_nbs(n_workers=0, force=True))
    (pages/'index.ipynb').unlink(missing_ok=True)
    shutil.copy(root/'submission'/'complete_pipeline.ipynb', pages)
    shutil.copy(root/'docs'/'conf.py', pages)
    for path in [*pages.glob('*.ipynb'), *pages.glob('guides/*.ipynb')]: for_sphinx(path)
    (pages/'index.md').write_text(index(pages).replace('](../submission/complete_pipeline.ipynb)', '](complete_pipeline.ipynb)'), encoding='utf-8')
    sys.exit(subprocess.run([sys.executable, '-m', 'sphinx', '-q', '-b', 'html', str(pages), '_docs']).returncode)
