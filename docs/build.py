"The pages: notebooks as nbdev processes them, through Sphinx, into _docs."
import os, shutil, subprocess, sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
os.chdir(root)
from nbdev.serve import proc_nbs

if __name__ == '__main__':
    pages = Path(proc_nbs(n_workers=0, force=True))
    names = sorted(p.stem for p in pages.glob('[0-9]*.ipynb'))
    toc = '\n'.join(['```{toctree}', ':maxdepth: 1', ':hidden:', '', *names, '```', ''])
    shutil.copy(root/'docs'/'conf.py', pages)
    # the index page is the README with the list of notebooks behind it
    (pages/'index.ipynb').unlink(missing_ok=True)
    text = (root/'README.md').read_text(encoding='utf-8').replace('](nbs/', '](').replace('](submission/', '](../submission/')
    (pages/'index.md').write_text(text + '\n' + toc, encoding='utf-8')
    sys.exit(subprocess.run([sys.executable, '-m', 'sphinx', '-q', '-b', 'html', str(pages), '_docs']).returncode)
