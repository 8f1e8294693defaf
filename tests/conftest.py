import os, signal
from pathlib import Path
import pytest

os.environ.setdefault('HF_HUB_OFFLINE', '1')   # no test asks the network for a model
signal.signal(signal.SIGINT, signal.default_int_handler)   # a shell's background jobs ignore Ctrl-C, and what they start does so, too

@pytest.fixture(scope='session')
def root() -> Path: return Path(__file__).resolve().parent.parent

@pytest.fixture(scope='session')
def korquad() -> Path:
    "Real KorQuAD 1.0 articles; none of it lies in the repository."
    folder = Path(os.environ.get('KOREMBED_SHARED') or Path(__file__).resolve().parents[2]/'shared')
    path = folder/'data'/'korquad_v1_dev_part.json'
    if not path.is_file(): pytest.skip('no real KorQuAD here: set KOREMBED_SHARED to a folder with data/korquad_v1_dev_part.json')
    return path

@pytest.fixture
def alone(monkeypatch, tmp_path):
    "No key, address, .env, kept answers or vocabulary of the person who runs the tests."
    for name in ('OPENAI_API_KEY', 'OPENAI_BASE_URL'): monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('KOREMBED_CACHE', str(tmp_path/'cache')); monkeypatch.setenv('TIKTOKEN_CACHE_DIR', str(tmp_path/'none'))
    monkeypatch.chdir(tmp_path)

@pytest.fixture
def own(monkeypatch):
    "The client as the house makes it, with a service's address; a second of silence is enough."
    def make(url, timeout=1):
        from openai_server import KEY
        from korembed.openai_client import openai_client
        monkeypatch.setenv('OPENAI_API_KEY', KEY); monkeypatch.setenv('OPENAI_BASE_URL', url)
        return openai_client().with_options(timeout=timeout)
    return make

# a file stays in one process, for what its tests share; those that take longest come first, so that none is left alone at the end
LONG = [f'test_{name}.py' for name in 'wheel run indexing ui pipeline docs commands cli processes synthesis survival'.split()]

def pytest_collection_modifyitems(items):
    items.sort(key=lambda i: LONG.index(i.path.name) if i.path.name in LONG else len(LONG))
