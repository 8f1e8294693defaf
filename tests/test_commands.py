"""Every command that README, guides and help texts print is run as printed, in an empty folder, with something small in the place
of what is not here. `python tests/test_commands.py` prints which, as a table."""
import contextlib, csv, json, os, re, shlex, shutil, subprocess, sys, threading
from functools import partial
from importlib.util import find_spec
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
import pytest
import typer
from korembed.cli import app, data_app, runs_app

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT/'data'
# these begin a command; a line of a block that begins otherwise is what a command prints
PROGRAMS = 'korembed make pip python python3 hf git curl docker torchrun nvidia-smi export unset cd source uv conda sudo apt'.split()

# what stands in for what is not here; the first pattern that is found in a command tells
STAND_INS = {
    r'^make ': 'that the target exists is checked (make -n); what it does is done by other tests',
    r'^pip install': 'not run: that the extras exist and the requirements can be read is checked',
    r'torch\.cuda': 'not run: needs a GPU',
    r'^python tools/synthetic': 'not run: takes long; that the script is there is checked',
    r'^python tools/': 'not run: takes the real KorQuAD, and long; that the script is there is checked',
    r'^python -m korembed\.doctor': 'nbs/11_doctor.ipynb runs it; here that the module is there',
    r'^(hf|git|curl|docker|nvidia-smi|source) ': 'not run: needs the network or a GPU',
    r'^korembed tensorboard': 'the server itself: tests/test_runs.py; here that the folder and the options are right',
    r'^korembed ui': 'the page itself: tests/test_ui.py; here that the options are right',
    r'^korembed data download': 'a server on loopback in the place of the publisher',
    r'openai|^korembed generate|--online': 'a server on loopback in the place of OpenAI',
    r'^korembed demo': 'a small random model in the place of offline, and few lessons',
    r'offline|^korembed run ': 'a small random model in the place of offline',
    r'^korembed (train|mine|evaluate|index|search|scale)': 'a small random model in the place of the base',
    r'^korembed (data|eda|report|runs|judge|doctor)': 'small files in the place of yours'}

class Command(NamedTuple):
    page: str  # where it is printed
    line: str  # as printed; lines that go on are joined

# ---- what is printed

def _blocks(text: str) -> list[str]:
    "Fenced and indented blocks of Markdown that may hold commands."
    fenced = re.findall(r'^```(\w*)\n(.*?)^```', text, re.S | re.M)
    rest = re.sub(r'^```.*?^```', '', text, flags=re.S | re.M)
    indented = re.findall(r'(?:^|\n\n)((?:    .+\n?)+)', rest)
    return [b for kind, b in fenced if kind in ('', 'bash', 'sh', 'shell', 'console', 'text')] + [re.sub(r'^    ', '', b, flags=re.M) for b in indented]

def _commands(block: str) -> list[str]:
    joined = re.sub(r'\\\n\s*', ' ', block)
    lines = [re.sub(r'\s+# .*', '', re.sub(r'^\$ ', '', l)).strip() for l in joined.splitlines()]
    return [l for l in lines if l.split(' ')[0] in PROGRAMS]

def _text(path: Path) -> str:
    if path.suffix == '.md': return path.read_text(encoding='utf-8')
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return '\n\n'.join(''.join(c['source']) for c in cells if c['cell_type'] == 'markdown')

def pages() -> list[Path]: return sorted([*ROOT.glob('README*.md'), *(ROOT/'nbs'/'guides').glob('*.ipynb')])

def printed() -> dict[str, list[str]]:
    "Page -> its commands, in their order."
    found = {p.relative_to(ROOT).as_posix(): [c for b in _blocks(_text(p)) for c in _commands(b)] for p in pages()
             if p.name != 'README.ko.md'}   # its commands are README.md's, says tests/test_readme.py
    found['--help'] = [l for group in (app, data_app, runs_app) for c in group.registered_commands for l in c.epilog.splitlines()[1:]]
    return {page: list(dict.fromkeys(lines)) for page, lines in found.items() if lines}

def mentioned() -> list[Command]:
    "Commands of this project within a sentence."
    return [Command(p.name, m) for p in pages() for m in re.findall(r'`(korembed [^`]+)`', _text(p))]

# ---- what is given in the place of yours

class Home(NamedTuple):
    "Made once, copied where a command wants it."
    base: Path; run: Path; papers: Path; chroma: Path; downloads: Path; lessons: Path

def _questions(path: Path, columns: str | None = None, which: slice = slice(12)) -> None:
    "A few questions in the format that the name asks for."
    articles = json.loads((SAMPLES/'train'/'articles.json').read_text(encoding='utf-8'))['data'][which]
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [dict(question=q['question'], answer=q['answers'][0]['text'], context=p['context'], title=a['title'])
            for a in articles for p in a['paragraphs'] for q in p['qas']]
    names = dict(c.split('=') for c in columns.split(',')) if columns else {}
    rows = [{names.get(k, k): v for k, v in r.items()} for r in rows]
    if path.suffix == '.csv':
        with open(path, 'w', encoding='utf-8', newline='') as f:
            (w := csv.DictWriter(f, list(rows[0]))).writeheader(); w.writerows(rows)
    elif path.suffix == '.jsonl': path.write_text(''.join(json.dumps(r, ensure_ascii=False) + '\n' for r in rows), encoding='utf-8')
    else: path.write_text(json.dumps(dict(version='1', data=articles), ensure_ascii=False), encoding='utf-8')

def _documents(path: Path) -> None:
    text = (SAMPLES/'eval'/'solar_system.txt').read_text(encoding='utf-8')[:3000]
    if path.suffix: path.parent.mkdir(parents=True, exist_ok=True); path.write_text(text, encoding='utf-8')
    else:   # two: of one alone nothing can be held out
        path.mkdir(parents=True)
        for name, part in (('태양계', text[:1500]), ('행성', text[1500:])): (path/f'{name}.txt').write_text(part, encoding='utf-8')

def _lines(path: Path) -> None: path.write_text('한글은 누가 만들었나?\n태양의 나이는?\n', encoding='utf-8')

def _guard(path: Path) -> None: shutil.copy(SAMPLES/'eval'/'english.jsonl', path.with_suffix('.jsonl')) if path.suffix == '.jsonl' else _questions(path, which=slice(12, None))

FILES = dict(data=_questions, path=_questions, tests=_questions, tune_hybrid=_questions, guard_data=_guard, queries=_lines, docs=_documents, documents=_documents)

def parsed(line: str) -> tuple[str, dict]:
    "Name of a command of this project and its values, as typer reads them."
    words, command, name = shlex.split(line, comments=True)[1:], typer.main.get_command(app), []
    while words and words[0] in getattr(command, 'commands', {}): command, name = command.commands[words[0]], [*name, words.pop(0)]
    for p in command.params: p.callback = None   # what is not there yet is not to be refused
    context = command.make_context(' '.join(['korembed', *name]), words)
    return ' '.join(name), {k: v for k, v in context.params.items() if v is not None}

def _model(name: str, here: Path, home: Home) -> None:
    "A base where a name of the hub is typed, a tuned model where a run is."
    if name in ('offline', 'openai', 'lexical') or (here/name).exists(): return
    if name == 'latest':
        if not list(here.glob('logs/tensorboard/*')): shutil.copytree(home.run, here/'logs/tensorboard/first')
    elif name.startswith('runs/') or name.endswith('/model'): shutil.copytree(home.run, here/name.removesuffix('/model'))
    else: shutil.copytree(home.base, here/name)

def provide(name: str, given: dict, here: Path, home: Home) -> None:
    "What a command reads, where it is not there yet."
    listed = lambda v: v if isinstance(v, (list, tuple)) else [v]
    for key, make in FILES.items():
        for path in map(Path, listed(given.get(key) or [])):
            if not (here/path).exists() and str(path) != '-': make(here/path, given.get('columns')) if make is _questions else make(here/path)
    for key in ('model', 'model_name', 'guide'):
        for m in listed(given.get(key) or []): _model(m.removeprefix('local:'), here, home)
    if name == 'report':
        for r in given['runs']:
            if not (here/r).exists(): shutil.copytree(home.papers, here/r)
    if name in ('runs show', 'runs compare', 'scale'):
        for r in listed(given.get('runs') or given.get('run')):
            if r == 'latest': _model(r, here, home)
            elif not (here/given.get('root', Path('logs/tensorboard'))/r).exists(): shutil.copytree(home.run, here/given.get('root', Path('logs/tensorboard'))/r)
    if name in ('runs list', 'tensorboard'):
        folder = here/given.get('root', given.get('folder'))
        if not list(folder.glob('*/run.json')): shutil.copytree(home.run, folder/'first')
    if name in ('search', 'judge') and not (here/given['db_path']).exists(): shutil.copytree(home.chroma, here/given['db_path'])
    if name == 'judge' or given.get('compare'):   # a page may have filled one of the two only
        if not (here/'docs').exists(): _documents(here/'docs')
        korembed('index', 'docs', '--model', home.base, '--db-path', given['db_path'], '--collection', 'original_embeddings', cwd=here)
    if name == 'run' and given.get('config') and not (here/given['config']).exists(): (here/given['config']).write_text(korembed('run', '--example', cwd=here).stdout, encoding='utf-8')
    # the same --out twice on a page: two ways, of which a reader goes one
    if name == 'train' and not given['resume'] and not given['dry_run'] and given.get('out') and (here/given['out']/'run.json').exists():
        (here/given['out']).rename(here/f"{given['out']}_before")

# ---- running

def korembed(*words, cwd):
    from test_cli import korembed as run   # with it come the libraries, which the table does not need
    return run(*words, cwd=cwd)

def _korembed(line: str, here: Path, home: Home) -> None:
    line, _, target = line.partition(' > ')
    name, given = parsed(line)
    provide(name, given, here, home)
    if name == 'ui': return
    done = korembed(*shlex.split(line, comments=True)[1:], cwd=here)
    if target: (here/shlex.split(target, comments=True)[0]).write_text(done.stdout, encoding='utf-8')
    assert done.returncode == (130 if name == 'tensorboard' else 0), f'{line}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}'

def _make(line: str) -> None:
    done = subprocess.run(['make', '-n', *shlex.split(line, comments=True)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

def _pip(line: str) -> None:
    from packaging.requirements import Requirement
    extras = set(re.findall(r'^(\w+)_requirements', (ROOT/'settings.ini').read_text(encoding='utf-8'), re.M))
    words = shlex.split(line, comments=True)[2:]
    assert words, line
    for i, w in enumerate(words):
        if w.startswith('-') or words[i - 1] in ('-c', '-r', '--index-url', '--extra-index-url'): continue
        asked = Requirement(re.sub(r'^\.', 'korembed', w))
        if asked.name == 'korembed': assert asked.extras <= extras, (line, asked.extras - extras)
    for f in (words[i + 1] for i, w in enumerate(words) if w in ('-c', '-r')): assert (ROOT/f).is_file(), line

def _python(line: str) -> None:
    "A script or a module of ours."
    words = shlex.split(line, comments=True)[1:]
    assert words[0] == '-c' or find_spec(words[1]) if words[0].startswith('-') else (ROOT/words[0]).is_file(), line

def note(line: str) -> str | None:
    "What stands in; None: the table does not know this command."
    return next((said for pattern, said in STAND_INS.items() if re.search(pattern, line)), None)

def run(line: str, here: Path, home: Home) -> None:
    said = note(line)
    assert said, f'{line}\nis neither run nor in the table STAND_INS of {Path(__file__).name}'
    for part in re.split(r'(?:;| &&) (?=[a-z]+ )', line) if line.startswith('korembed') else [line]:
        if part.startswith('korembed '): _korembed(part, here, home)
        elif part.startswith('make '): _make(part)
        elif part.startswith('pip install'): _pip(part)
        elif part.startswith('python '): _python(part)
        else: assert said.startswith('not run'), part

@pytest.fixture(scope='module')
def home(tmp_path_factory) -> Home:
    "A small base, a run, papers and collections."
    from small_models import xlmr
    tmp = tmp_path_factory.mktemp('home')
    base = xlmr(tmp/'intfloat'/'multilingual-e5-small')
    _questions(tmp/'questions.json'); _documents(tmp/'docs')
    quick = ('--model', 'intfloat/multilingual-e5-small', '--device', 'cpu')
    for words in (['train', 'questions.json', *quick, '--epochs', 1, '--batch-size', 8, '--out', 'run'],
                  ['evaluate', '--model', 'intfloat/multilingual-e5-small', '--model', 'run/model', '--data', 'questions.json', '--out', 'papers', '--device', 'cpu'],
                  ['index', 'docs', *quick], ['index', 'docs', '--model', 'run/model', '--collection', 'finetuned_embeddings', '--device', 'cpu']):
        done = korembed(*words, cwd=tmp)
        assert done.returncode == 0, done.stderr
    (tmp/'served').mkdir()
    for name in ('KorQuAD_v1.0_train.json', 'KorQuAD_v1.0_dev.json'): _questions(tmp/'served'/name)
    return Home(base, tmp/'run', tmp/'papers', tmp/'chroma_db', tmp/'served', tmp/'questions.json')

@pytest.fixture(scope='module')
def small_offline(tmp_path_factory) -> Path:
    from small_models import xlmr
    return xlmr(tmp_path_factory.mktemp('offline')/'model', seed=1)

@contextlib.contextmanager
def _files(folder: Path):
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *a): pass
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(.01,), daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}'
    finally: server.shutdown(); server.server_close()

@pytest.fixture
def here(alone, home, small_offline, monkeypatch, tmp_path):
    "An empty folder, with nothing of the person who runs the tests and nothing beyond this machine."
    from openai_server import KEY, serve
    from korembed import download, model, pipeline, runs
    monkeypatch.setattr(pipeline, 'sample_path', lambda name, all=pipeline.sample_path: home.lessons if name == 'train' else all(name))
    monkeypatch.setattr(model, 'offline_path', lambda *a: small_offline)
    # started for good in tests/test_runs.py; here a Ctrl-C at once
    def start_tensorboard(folder, host, port): assert list(Path(folder).rglob('events.out.tfevents.*')); raise KeyboardInterrupt
    monkeypatch.setattr(runs, 'start_tensorboard', start_tensorboard)
    with serve() as (url, _), _files(home.downloads) as files:
        monkeypatch.setenv('OPENAI_API_KEY', KEY); monkeypatch.setenv('OPENAI_BASE_URL', url); monkeypatch.setenv('HF_ENDPOINT', files)
        monkeypatch.setattr(download, '_wiki', f'{files}/w')
        monkeypatch.setattr(download, 'SOURCES', {k: [f'{files}/{Path(u).name}' for u in us] for k, us in download.SOURCES.items()})
        folder = tmp_path/'here'; folder.mkdir()
        yield folder

PRINTED = printed()

@pytest.mark.parametrize('page', PRINTED)
def test_commands_of_a_page_run_as_printed(page, here, home):
    for line in PRINTED[page]: run(line, here, home)

@pytest.mark.parametrize('command', mentioned(), ids=lambda c: f'{c.page}: {c.line}')
def test_commands_in_a_sentence_exist(command):
    "Their names, and their options."
    words, known = shlex.split(command.line.replace('…', ' '), comments=True)[1:], typer.main.get_command(app)
    while words and words[0] in getattr(known, 'commands', {}): known = known.commands[words.pop(0)]
    options = {o for p in known.params for o in (*p.opts, *p.secondary_opts)} | {'--help', '--quiet', '--debug'}
    assert not hasattr(known, 'commands') or all(w.startswith('--') for w in words), command
    assert {w.split('=')[0] for w in words if re.match('--?[a-z]', w)} <= options, command

def test_a_wrong_command_is_seen(here, home):
    "What this file tests with, tested."
    with pytest.raises(AssertionError, match='neither run nor'): run('sudo korembed demo', here, home)
    with pytest.raises(AssertionError, match='exit 2'): run('korembed data describe questions.json --format csv', here, home)
    with pytest.raises(Exception, match='No such option'): run('korembed eda questions.json --dry-run', here, home)
    with pytest.raises(AssertionError): run('make no-such-target', here, home)
    with pytest.raises(AssertionError): run("pip install 'korembed[nothing]'", here, home)
    assert _commands('korembed a \\\n  --b\nout 1\n$ make x') == ['korembed a  --b', 'make x']
    assert {'README.md', '--help'} <= set(PRINTED) and len(PRINTED['README.md']) > 12

# ---- the command line itself

def _all_commands() -> list[tuple[list[str], typer.core.TyperCommand]]:
    "Words and command, the groups' among them."
    top = typer.main.get_command(app).commands
    return [([n, m], c) for n, g in top.items() if hasattr(g, 'commands') for m, c in g.commands.items()] + [([n], c) for n, c in top.items() if not hasattr(c, 'commands')]

def test_help_shows_types_defaults_and_an_example_that_can_be_copied(monkeypatch, tmp_path):
    monkeypatch.setenv('COLUMNS', '130')   # on narrower ones typer cuts the longest words
    for words, command in _all_commands():
        shown = re.sub(r'\033\[[\d;]*m', '', korembed(*words, '--help', cwd=tmp_path).stdout)
        lines, flat = [l.strip() for l in shown.splitlines()], re.sub(r'[\s│]', '', shown)
        assert lines[lines.index('Example:') + 1].startswith(f"korembed {' '.join(words)}"), shown
        assert set(command.epilog.splitlines()) <= set(lines), shown   # none is broken
        for p in command.params:
            if p.name != 'help': assert f'{p.opts[0]}' in flat and p.help.split()[0] in flat, (words, p.name)
            if type(p.default) in (str, int, float): assert f'[default:{p.default}]' in flat, (words, p.name, p.default)
        assert '<path>' in flat or '<str>' in flat or '<list[path]>' in flat or '<word>' in flat, shown

def test_completion_in_a_real_shell(tmp_path):
    if not shutil.which('bash'): pytest.skip('no bash here')
    command = tmp_path/'korembed'
    command.write_text(f'#!{sys.executable}\nfrom korembed.cli import main\nmain()\n', encoding='utf-8'); command.chmod(0o755)
    code = """eval "$(_KOREMBED_COMPLETE=source_bash korembed)"
    try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _korembed_completion korembed; echo "${COMPREPLY[@]}"; }
    try korembed ru; try korembed train --lea; try korembed train --preset ''"""
    done = subprocess.run(['bash', '-c', code], capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | dict(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}"))
    assert done.stdout.splitlines() == ['run runs', '--learning-rate', 'default classic full webscrape qa-jsonl 8gb'], (done.stdout, done.stderr)

def test_colours_only_where_a_person_looks_on(monkeypatch):
    import io
    from korembed.cli import _colour
    class Terminal(io.StringIO):
        def isatty(self): return True
    monkeypatch.delenv('NO_COLOR', raising=False)
    monkeypatch.setattr(sys, 'stdout', io.StringIO()); assert not _colour()
    monkeypatch.setattr(sys, 'stdout', Terminal()); assert _colour()
    monkeypatch.setenv('NO_COLOR', '1'); assert not _colour()

def test_hangul_does_not_push_columns_aside():
    import pandas as pd
    from rich.cells import cell_len
    from korembed.cli import _aligned
    table = pd.DataFrame({'NDCG@10': [.5, .25], '모델': ['기준', 'b']}, index=['튜닝한 모델', 'base'])
    assert len({cell_len(l) for l in _aligned(table).splitlines()}) == 1
    assert len({cell_len(l) for l in table.to_string().splitlines()}) > 1   # so it would be without

def test_quiet_anywhere_on_the_line(tmp_path):
    import logging
    for words, level in {('runs', 'list', '--root', '.'): logging.INFO, ('--quiet', 'runs', 'list', '--root', '.'): logging.WARNING,
                         ('runs', 'list', '--quiet', '--root', '.'): logging.WARNING, ('runs', 'list', '--root', '.'): logging.INFO}.items():
        before = dict(os.environ)
        try: korembed(*words, cwd=tmp_path)
        finally: os.environ.clear(); os.environ |= before
        assert logging.getLogger('korembed').level == level, words
    logging.getLogger('korembed').setLevel(logging.INFO)

if __name__ == '__main__':
    rows = {line: note(line) for lines in PRINTED.values() for line in lines}
    print('| command | what stands in |\n|---|---|')
    for line, said in rows.items():
        bare = line.replace('|', '\\|')
        print(f'| `{bare}` | {said} |')
