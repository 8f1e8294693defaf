"What choices buy in training on a CPU: a few steps with all of them, and without each, in turns, each in a process of its own."
import subprocess, sys, tempfile

CODE = '''
import json, sys, korembed.trainer as trainer, korembed.training as training
from korembed.data import sample_path
without, more = sys.argv[1], json.loads(sys.argv[3])
if without == 'freed memory kept': trainer.keep_memory = lambda: False
if without == 'few kernels kept': trainer.keep_few_kernels = lambda: None
if without == 'plain attention in bf16': training.pick_attention = lambda model, precision: 'as loaded'
if without == 'no dropout in the base': more |= dict(dropout=.1)
made = training.train(sample_path('train'), sys.argv[2], model_name='offline', train_split=1.0, device='cpu', **more)
print(made['seconds']['train'], made['peak_memory_mib'])
'''
CHOICES = '', 'freed memory kept', 'few kernels kept', 'plain attention in bf16', 'no dropout in the base'

def measure(without, more='{"max_steps": 6}'):
    "Seconds of the training, and the most memory the process held, in MiB."
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, '-c', CODE, without, folder + '/run', more], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()[-2:]))

times = {c: [] for c in CHOICES}
for _ in range(3):
    for c in times: times[c].append(measure(c)[0])
for c in CHOICES[1:]: print(f'training: {c} / otherwise = {min(times[""]) / min(times[c]):.2f} of the time')
peaks = [measure(c, '{"max_steps": 60, "batch_size": 8}')[1] for c in ('', 'few kernels kept')]
print(f'training, 60 steps of 8 pairs: few kernels kept / otherwise = {peaks[0] / peaks[1]:.2f} of the memory ({peaks[0]:.0f} and {peaks[1]:.0f} MiB)')
