"README.md from nbs/index.ipynb; --check only says whether they agree."
import re, sys
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter

root = Path(__file__).resolve().parent.parent

def readme() -> str:
    nb = nbformat.read(root/'nbs'/'index.ipynb', as_version=4)
    nb.cells = [c for c in nb.cells if not c.source.startswith('#|') or c.source.startswith('#| echo: false')]
    for c in nb.cells:
        if c.source.startswith('#| echo: false'): c.source, c.metadata['transient'] = '', dict(remove_source=True)
    exporter = MarkdownExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    text, _ = exporter.from_notebook_node(nb)
    # the page lies in nbs/, the README above it
    text = re.sub(r'\]\((?!https?:|#)([^)]+)\)', lambda m: '](' + (m[1][3:] if m[1].startswith('../') else f'nbs/{m[1]}') + ')', text)
    return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'

if __name__ == '__main__':
    path, text = root/'README.md', readme()
    if '--check' in sys.argv: sys.exit(0 if path.read_text(encoding='utf-8') == text else 'README.md is not what nbs/index.ipynb says; type: make readme')
    path.write_text(text, encoding='utf-8', newline='\n')
