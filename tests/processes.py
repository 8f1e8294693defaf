"Processes that need not import everything again: under Linux they are copied from one that has read the libraries."
import multiprocessing, os, subprocess, sys, tempfile, time
from pathlib import Path

_warm = multiprocessing.get_context('forkserver' if sys.platform == 'linux' else 'spawn')
if sys.platform == 'linux': _warm.set_forkserver_preload(['korembed.walk', 'korembed.cli', 'processes'])

def _child(work, args, cwd, env, limit, files, said):
    "In the new process: its streams, folder, variables and file size limit, then the work."
    for fd, name in enumerate((files or os.devnull, said[0], said[1])):
        at = os.open(name, os.O_RDONLY if fd == 0 else os.O_WRONLY); os.dup2(at, fd); os.close(at)
    sys.stdin = open(0, encoding='utf-8', closefd=False)
    for stream in (sys.stdout, sys.stderr): stream.reconfigure(encoding='utf-8')
    os.environ.clear(); os.environ.update(env)
    os.chdir(cwd)
    if limit:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    work(*args)

def _command(*args):
    from korembed.cli import main
    main(list(args))

class Running:
    "A process with what tests need of `subprocess.Popen`."
    def __init__(self, work, *args, cwd='.', env=None, limit=None, stdin=None):
        self.folder = tempfile.TemporaryDirectory()
        self.said = [str(Path(self.folder.name)/n) for n in ('out', 'err')]
        for name in self.said: Path(name).touch()
        self.process = _warm.Process(target=_child, args=(work, args, str(cwd), dict(env or os.environ), limit, stdin and str(stdin), self.said))
        self.process.start()
    pid = property(lambda self: self.process.pid)
    returncode = property(lambda self: self.process.exitcode)
    def poll(self): return self.process.exitcode
    def send_signal(self, number): os.kill(self.pid, number)
    def kill(self): self.process.kill()
    def text(self): return [Path(name).read_text(encoding='utf-8') for name in self.said]
    def communicate(self, timeout=None):
        self.process.join(timeout)
        if self.process.exitcode is None: raise subprocess.TimeoutExpired('korembed', timeout)
        return self.text()

def start(*args, **how) -> Running:
    "The korembed command in a process of its own."
    return Running(_command, *map(str, args), **how)

def finish(*args, **how) -> subprocess.CompletedProcess:
    "The same, and wait for its end."
    running = start(*args, **how)
    out, err = running.communicate()
    return subprocess.CompletedProcess(args, running.returncode, out, err)
