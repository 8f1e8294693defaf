"What three choices buy in training on a CPU: six steps with all of them, and without each, in turns, each in a process of its own."
import subprocess, sys, tempfile

CODE = '''
import sys, korembed.trainer as trainer, korembed.training as training
from korembed.data import sample_path
without, more = sys.argv[1], {}
if without == 'freed memory kept': trainer.keep_memory = lambda: False
if without == 'plain attention in bf16': training.pick_attention = lambda model, precision: 'as loaded'
if without == 'no dropout in the base': more = dict(dropout=.1)
made = training.train(sample_path('train'), sys.argv[2], model_name='offline', max_steps=6, train_split=1.0, device='cpu', **more)
print(made['seconds']['train'])
'''
CHOICES = '', 'freed memory kept', 'plain attention in bf16', 'no dropout in the base'

def seconds(without):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, '-c', CODE, without, folder + '/run'], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])

times = {c: [] for c in CHOICES}
for _ in range(3):
    for c in times: times[c].append(seconds(c))
for c in CHOICES[1:]: print(f'training: {c} / otherwise = {min(times[""]) / min(times[c]):.2f} of the time')
