"Run every notebook in nbs/ and nbs/guides/ as a test, two at a time, and end with a line that says how many passed."
import os, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

root = Path(__file__).resolve().parent.parent
LONG = ('10', '03', '06')   # these train or search: first, so that none is left alone at the end

def run(path: Path) -> tuple[Path, float, str]:
    began = time.time()
    cmd = [str(Path(sys.executable).parent/'nbdev_test'), '--path', str(path), '--n_workers', '0']
    done = subprocess.run(cmd, cwd=root, capture_output=True, text=True, encoding='utf-8', errors='replace')
    failed = done.returncode != 0 or 'Success.' not in done.stdout
    return path, time.time() - began, done.stdout + done.stderr if failed else ''

if __name__ == '__main__':
    every = [*(root/'nbs').glob('*.ipynb'), *(root/'nbs'/'guides').glob('*.ipynb')]
    pages = [Path(a) for a in sys.argv[1:]] or sorted(every, key=lambda p: (p.name[:2] not in LONG, -p.stat().st_size))
    os.environ.setdefault('OMP_NUM_THREADS', '1')   # two pages at a time share the cores
    failures = 0
    with ThreadPoolExecutor(2) as pool:
        for path, seconds, trouble in pool.map(run, pages):
            failures += bool(trouble)
            print(f"{'FAILED' if trouble else 'passed'}  {path.name}  {seconds:.0f} s\n{trouble}".rstrip(), flush=True)
    print(f'notebooks: {len(pages) - failures} passed, {failures} failed')
    sys.exit(failures > 0)
