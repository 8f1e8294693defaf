"Several processes that train as one: torchrun on the CPU."
import json, os, shutil, subprocess, sys
from pathlib import Path
import pytest, torch
from korembed.data import sample_path
from small_models import xlmr

ONE_STEP = '''
import sys, torch
from accelerate import PartialState
from korembed.config import TrainingConfig
from korembed.losses import make_loss
from korembed.model import load_model
from torch.nn.parallel import DistributedDataParallel
state, size = PartialState(cpu=True), 12
n = size // state.num_processes
mine = slice(state.process_index * n, (state.process_index + 1) * n)
questions, passages, wrong = ([f'{w} {i % 5} {i}번' for i in range(size)][mine] for w in ('물음', '대답 본문', '틀린 본문'))
ids = torch.tensor([[i % 6, 100 + i] for i in range(size)][mine])   # some share a passage, also across the processes
found = {}
for name in ('MultipleNegativesRanking', 'CachedMultipleNegativesRanking'):
    model = load_model(sys.argv[1], 'none', 'cpu').eval()   # no dropout: the same numbers every time
    features = [model.preprocess(t) for t in (questions, passages, wrong)]
    loss = make_loss(model, TrainingConfig(loss=name, mini_batch_size=2))
    if state.num_processes > 1: loss.model = DistributedDataParallel(model, find_unused_parameters=True)
    value = loss(features, None if name.startswith('Cached') else ids)
    value.backward()
    mean = value.detach().clone()
    if state.num_processes > 1: torch.distributed.all_reduce(mean); mean /= state.num_processes
    found[name] = dict(loss=mean, grads={k: p.grad for k, p in model.named_parameters() if p.grad is not None})
if state.is_main_process: torch.save(found, sys.argv[2])
if state.num_processes > 1: torch.distributed.barrier(); torch.distributed.destroy_process_group()   # a process that leaves early can die of the other's messages
'''

def environment(root: Path) -> dict:
    return os.environ | dict(PYTHONPATH=str(root), HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1', TQDM_DISABLE='1', TOKENIZERS_PARALLELISM='false')

def torchrun(root: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess:
    start = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node', '2', '--rdzv-backend', 'c10d', '--rdzv-endpoint', 'localhost:0']
    return subprocess.run([*start, *command], capture_output=True, text=True, cwd=cwd, env=environment(root), timeout=300)

@pytest.fixture(scope='module')
def base(tmp_path_factory) -> Path: return xlmr(tmp_path_factory.mktemp('base')/'xlmr')

def test_two_processes_make_one_batch_of_twice_the_size(root, tmp_path, base):
    (tmp_path/'step.py').write_text(ONE_STEP, encoding='utf-8')
    alone = subprocess.run([sys.executable, 'step.py', str(base), 'one.pt'], capture_output=True, text=True, cwd=tmp_path, env=environment(root))
    both = torchrun(root, 'step.py', str(base), 'two.pt', cwd=tmp_path)
    assert alone.returncode == both.returncode == 0, alone.stderr[-800:] + both.stderr[-2000:]
    one, two = (torch.load(tmp_path/f) for f in ('one.pt', 'two.pt'))
    for name in one:
        a, b = one[name], two[name]
        assert abs(a['loss'] - b['loss']) < 1e-4
        assert a['grads'].keys() == b['grads'].keys() and max(g.abs().max() for g in a['grads'].values()) > 1e-2
        assert max((a['grads'][k] - b['grads'][k]).abs().max() for k in a['grads']) < 1e-4, name

def test_train_under_torchrun(root, tmp_path, base):
    command = ('-m', 'korembed.cli', 'train', str(sample_path('train/articles.json')), '--out', 'two', '--model', str(base), '--prompts', 'none',
               '--epochs', '1', '--max-samples', '64', '--batch-size', '8', '--log-every-n-steps', '1', '--device', 'cpu', '--precision', 'fp32',
               '--save-steps', '2', '--json')
    both, run = torchrun(root, *command, cwd=tmp_path), tmp_path/'two'
    assert both.returncode == 0, both.stderr[-3000:]
    told = json.loads(both.stdout)   # the first alone speaks
    assert told['steps'] == 4 and told['metrics']['tuned']   # 64 pairs, 16 at a time
    record = (run/'training_metrics.jsonl').read_text(encoding='utf-8').splitlines()
    losses = [r['loss'] for r in map(json.loads, record) if 'loss' in r]
    assert len(losses) == 4   # one record, not two
    assert abs(losses[0] - 2.77) < .2   # a model that knows nothing: log 16; among the 8 of its own process it would be log 8 = 2.08
    assert {p.name for p in (run/'checkpoints'/'checkpoint-4').iterdir()} >= {'rng_state_0.pth', 'rng_state_1.pth', 'seal.json'}
    # as if both had been killed after the second step
    weights = (run/'model'/'model.safetensors').read_bytes()
    (run/'run.json').unlink()
    for gone in ('model', 'best', 'checkpoints/checkpoint-4'): shutil.rmtree(run/gone)
    again = torchrun(root, *command, '--resume', cwd=tmp_path)
    assert again.returncode == 0, again.stderr[-3000:]
    assert json.loads(again.stdout)['resumed_from'] == 2 and (run/'model'/'model.safetensors').read_bytes() == weights
    kept = (run/'training_metrics.jsonl').read_text(encoding='utf-8').splitlines()
    assert [json.loads(l).get('loss') for l in kept] == [json.loads(l).get('loss') for l in record]
