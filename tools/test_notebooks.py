"Run every notebook in nbs/ and nbs/guides/ as a test, two at a time, and end with a line that says how many passed."
import io, multiprocessing, os, sys, tempfile, time
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

root = Path(__file__).resolve().parent.parent
LONG = ('10', '03', '06')   # these train or search: first, so that none is left alone at the end
# slow to import: read once by a process that is then copied for each page, under Linux
LIBRARIES = ['nbdev.test', 'pandas', 'matplotlib.pyplot', 'torch', 'datasets', 'sentence_transformers', 'peft', 'chromadb', 'openai']

def run(path: Path) -> tuple[Path, float, str]:
    "A page in a fresh process: path, seconds, and what it said if it failed."
    from joblib.externals.loky import get_reusable_executor
    from nbdev.config import get_config
    from nbdev.test import test_nb
    said = io.StringIO()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, redirect_stdout(said), redirect_stderr(said):
        os.environ['TMPDIR'] = tempfile.tempdir = folder   # the pages write some 3 GB of models and indices, which nobody else would delete
        passed, seconds = test_nb(path, skip_flags=get_config().tst_flags.split(), basepath=root)
        get_reusable_executor().shutdown()   # a process of a pool waits for its children, and these idle for minutes
    return path, seconds, '' if passed else said.getvalue()

if __name__ == '__main__':
    os.chdir(root)
    os.environ.setdefault('OMP_NUM_THREADS', '1')   # two pages at a time share the cores
    every = [*(root/'nbs').glob('*.ipynb'), *(root/'nbs'/'guides').glob('*.ipynb')]
    pages = [Path(a).absolute() for a in sys.argv[1:]] or sorted(every, key=lambda p: (p.name[:2] not in LONG, -p.stat().st_size))
    method = multiprocessing.get_context('forkserver' if sys.platform == 'linux' else 'spawn')
    method.set_forkserver_preload(LIBRARIES)
    failures, began = 0, time.time()
    with ProcessPoolExecutor(2, mp_context=method, max_tasks_per_child=1) as pool:
        for path, seconds, trouble in pool.map(run, pages):
            failures += bool(trouble)
            print(f"{'FAILED' if trouble else 'passed'}  {path.name}  {seconds:.0f} s\n{trouble}".rstrip(), flush=True)
    print(f'notebooks: {len(pages) - failures} passed, {failures} failed, {time.time() - began:.0f} s')
    sys.exit(failures > 0)
