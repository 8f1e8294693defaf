import os
from pathlib import Path
import pytest

os.environ.setdefault('HF_HUB_OFFLINE', '1')   # no test asks the network for a model

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

LONG = ('test_demo_from_the_wheel_in_an_empty_folder', 'test_the_example_runs_as_it_is')

def pytest_collection_modifyitems(items):
    "One of the longest at the head of each half: two workers begin with them, and neither is left alone at the end."
    long = [i for i in items if i.name in LONG]
    rest = [i for i in items if i.name not in LONG]
    items[:] = long[:1] + rest[:len(rest) // 2] + long[1:] + rest[len(rest) // 2:]
