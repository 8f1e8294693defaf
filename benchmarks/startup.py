"How long `korembed --help` takes, against a Python that does nothing, in one run."
import subprocess, sys, time

commands = {'python -c pass': ['-c', 'pass'], 'korembed --help': ['-m', 'korembed.cli', '--help'], 'korembed train --help': ['-m', 'korembed.cli', 'train', '--help']}

def seconds(args: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *args], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began

for args in commands.values(): seconds(args)   # the first call is never typical
# taken in turns, best of ten: what else the machine does hits all
best = {k: min(v) for k, v in zip(commands, zip(*[[seconds(a) for a in commands.values()] for _ in range(10)]))}
for name, s in list(best.items())[1:]: print(f"{name} / python -c pass = {s / best['python -c pass']:.1f} of the time ({s:.2f} s)")
