"The built wheel, away from the checkout: it must bring its own data and command."
import json, os, shutil, subprocess, sys
import pytest
from test_pipeline import PAPERS, same_as_stored

@pytest.fixture(scope='module')
def wheel(root, tmp_path_factory):
    "The wheel's content in a folder of its own; the libraries it needs are those of this environment."
    home = tmp_path_factory.mktemp('wheel')
    # of a copy of what git tracks: an old build/ in the checkout would get into the wheel
    tracked = subprocess.run(['git', 'ls-files', '-z'], check=True, cwd=root, capture_output=True, text=True, encoding='utf-8').stdout
    for name in filter(None, tracked.split('\0')):
        if not (root/name).is_file() or name.startswith(('docs/', 'nbs/', 'submission/', 'benchmarks/')): continue
        (home/'src'/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root/name, home/'src'/name)
    pip = [sys.executable, '-m', 'pip', '-q']
    subprocess.run([*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', home/'dist', home/'src'], check=True, cwd=home, capture_output=True)
    subprocess.run([*pip, 'install', '--no-deps', '--target', home/'lib', *(home/'dist').glob('*.whl')], check=True, cwd=home)
    return home/'lib'

def run(wheel, code, cwd):
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'} | dict(PYTHONPATH=str(wheel), HF_HUB_OFFLINE='1')
    return subprocess.run([sys.executable, '-c', code], cwd=cwd, env=env, capture_output=True, text=True, encoding='utf-8')

def test_demo_from_the_wheel_in_an_empty_folder(wheel, tmp_path, root):
    "The whole walk: its numbers are those that README and submission show."
    code = ('import sys, korembed; from pathlib import Path; from korembed.cli import main; '
            'print(korembed.__file__, file=sys.stderr); main(["demo", "--json"])')
    done = run(wheel, code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(wheel) in done.stderr.splitlines()[0]
    result = json.loads(done.stdout)
    same_as_stored(result, root)
    assert result['command'] == 'korembed demo' and 'lexical' in result['judge']['evaluation_model']
    made = tmp_path/result['out']
    assert made.parent.name == 'submission' and PAPERS <= {p.name for p in made.iterdir()} and (made/'model'/'model.safetensors').is_file()
    assert [p.name for p in tmp_path.iterdir()] == ['submission']

def test_command_is_installed_with_the_wheel(wheel, tmp_path):
    assert (wheel/'bin'/'korembed').is_file() or (wheel/'Scripts'/'korembed.exe').is_file()
