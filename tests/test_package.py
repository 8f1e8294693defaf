"The frame: what importing costs, who imports whom, workflows, stored notebooks."
import ast, configparser, json, re, subprocess, sys
import pytest

HEAVY = {'torch', 'chromadb', 'gradio', 'matplotlib', 'sentence_transformers', 'transformers', 'datasets', 'pandas', 'sklearn'}

@pytest.mark.parametrize('code', ['import korembed; dir(korembed)',
                                  'import sys; sys.argv = ["korembed", "--help"]\nfrom korembed.cli import main\ntry: main()\nexcept SystemExit: pass'])
def test_light_to_import(code):
    done = subprocess.run([sys.executable, '-c', code + '\nimport sys; print("MODULES", *sys.modules)'], capture_output=True, text=True, encoding='utf-8')
    loaded = {m.split('.')[0] for m in done.stdout.split('MODULES', 1)[1].split()}
    assert 'korembed' in loaded and not loaded & HEAVY, loaded & HEAVY

def test_stable_names_are_what_they_say():
    import korembed
    from korembed.judge import judge   # the module of that name must not hide the function
    import korembed.judge   # noqa: F811
    assert set(korembed.__all__) == {'read_qa', 'make_pairs', 'split', 'TrainingConfig', 'train', 'Embedder', 'index', 'search', 'evaluate', 'judge'}
    assert all(callable(getattr(korembed, n)) for n in korembed.__all__) and korembed.judge is judge
    with pytest.raises(AttributeError): korembed.nothing

# who may import whom; text is for all
ALLOWED = dict(
    text='', lexical='', metrics='', certainty='', runs='', formats='', near_duplicates='', documents='formats', download='', openai_client='', model='', config='',
    data='documents formats near_duplicates', convert='data formats', eda='data lexical model', negatives='data lexical model near_duplicates',
    scored='formats model near_duplicates', losses='config model', trainer='config losses near_duplicates', training='config data losses metrics model negatives runs scored trainer',
    questions='data formats lexical model near_duplicates', synthesis='data documents indexing model openai_client questions',
    slices='certainty data eda lexical near_duplicates', results='certainty', leaderboard='data metrics model',
    store='', indexing='data documents model store', fusion='metrics', retrieval='fusion indexing lexical model metrics store', judge='certainty data openai_client model metrics',
    ui='data indexing judge metrics openai_client report results retrieval runs store',
    evaluation='certainty data fusion metrics model judge leaderboard results retrieval runs slices', report='eda judge metrics results slices',
    walk='config data evaluation judge losses model negatives pipeline report results runs synthesis training',
    pipeline='config data evaluation indexing judge model report retrieval store training', doctor='config data formats indexing walk', cli='*')

def imports(path, module_level):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    nodes = tree.body if module_level else ast.walk(tree)
    own = [n for n in nodes if isinstance(n, ast.ImportFrom) and (n.level or (n.module or '').startswith('korembed'))]
    whole = {a.name for n in own if n.module in (None, 'korembed') for a in n.names}   # `from . import documents`
    return {(n.module or '').removeprefix('korembed.') for n in own if n.module not in (None, 'korembed')} | whole

def modules(root): return {p.stem: p for p in (root/'korembed').glob('*.py') if not p.stem.startswith('_')}

def test_every_module_imports_only_what_the_house_allows(root):
    assert set(modules(root)) == set(ALLOWED)
    for name, path in modules(root).items():
        may = set(ALLOWED) if ALLOWED[name] == '*' else set(ALLOWED[name].split()) | {'text'}
        assert imports(path, False) <= may, (name, imports(path, False) - may)

def test_no_import_circle(root):
    graph = {n: imports(p, False) & set(ALLOWED) for n, p in modules(root).items()}
    while graph:
        free = {n for n, needs in graph.items() if not needs & set(graph)}
        assert free, f'a circle among {sorted(graph)}'
        graph = {n: needs for n, needs in graph.items() if n not in free}

def test_development_tools_are_not_needed_to_use_it(root):
    for name, path in modules(root).items():
        assert not re.search(r'^\s*(?:from|import) (?:fastcore|nbdev|execnb|IPython|pytest)\b', path.read_text(encoding='utf-8'), re.M), name

def test_workflows_are_valid(root):
    files = sorted((root/'.github'/'workflows').glob('*.yml'))
    assert {f.name for f in files} == {'ci.yml', 'docs.yml'}
    done = subprocess.run([sys.executable, '-m', 'check_jsonschema', '--builtin-schema', 'vendor.github-workflows', *map(str, files)],
                          capture_output=True, text=True, encoding='utf-8')
    assert done.returncode == 0, done.stdout + done.stderr

def test_pins_lie_in_the_ranges(root):
    from packaging.requirements import Requirement
    ini = configparser.ConfigParser(delimiters=['='], interpolation=None); ini.read(root/'settings.ini', encoding='utf-8')
    pins = dict(l.lower().split('==') for l in (root/'constraints.txt').read_text(encoding='utf-8').splitlines() if '==' in l)
    pins = {k.replace('_', '-'): v for k, v in pins.items()}
    core = [Requirement(r) for k in ('requirements', 'dev_requirements', 'offline_requirements', 'guides_requirements', 'mteb_requirements') for r in ini['DEFAULT'][k].split()]
    for r in core: assert r.specifier.contains(pins[r.name.lower()]), r
    extras = {k.removesuffix('_requirements') for k in ini['DEFAULT'] if k.endswith('_requirements')}
    assert extras == {'offline', 'ui', 'pdf', 'kiwi', 'mteb', 'guides', 'onnx', 'scale', 'dev', 'docs'}
    for k in extras: [Requirement(r) for r in ini['DEFAULT'][f'{k}_requirements'].split()]

def pages(root): return sorted([*(root/'nbs').glob('*.ipynb'), *(root/'nbs'/'guides').glob('*.ipynb'), *(root/'submission').glob('*.ipynb')])

def test_stored_notebooks_are_whole(root):
    assert len(pages(root)) >= 18
    place = re.compile('|'.join('/' + d + '/' for d in ('home', 'root', 'tmp', 'work', 'Users')))
    for path in pages(root):
        nb = json.loads(path.read_text(encoding='utf-8'))
        outputs = [o for c in nb['cells'] if c['cell_type'] == 'code' for o in c['outputs']]
        assert outputs, f'{path.name}: no output stored'
        assert not nb['metadata'].get('widgets') and not any('widget' in k for o in outputs for k in o.get('data', {})), path.name
        assert not any(o['output_type'] == 'error' for o in outputs), path.name
        assert not any(o.get('name') == 'stderr' for o in outputs), path.name
        text = json.dumps([{k: v for k, v in o.items() if k != 'data'} | {k: v for k, v in o.get('data', {}).items() if 'image' not in k} for o in outputs])
        assert not place.search(text), (path.name, place.search(text))
        assert path.stat().st_size < 400_000, path.name

def test_cells_that_import_do_nothing_else(root):
    "The pages of the docs are made by running such cells alone."
    for path in pages(root):
        if path.parent.name == 'submission': continue
        for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
            source = ''.join(l for l in cell['source'] if not l.startswith('%'))
            if cell['cell_type'] != 'code' or 'nbdev_export()' in source: continue
            kinds = {isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.parse(source).body}
            assert len(kinds) <= 1, (path.name, source)

def test_guides_export_nothing(root):
    for path in (root/'nbs'/'guides').glob('*.ipynb'):
        sources = [''.join(c['source']) for c in json.loads(path.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
        assert sources and not any(re.search(r'^#\| *(?:default_exp|exporti?|exports)\b', s, re.M) for s in sources), path.name

def test_readme_is_short_and_its_links_exist(root):
    text = (root/'README.md').read_text(encoding='utf-8')
    assert 500 < len(text.encode()) <= 8192
    for target in re.findall(r'\]\(([^)#]+)', text):
        assert (root/target).exists() if not target.startswith('http') else 'example' not in target, target

def test_make_help_lists_every_target(root):
    if sys.platform == 'win32': pytest.skip('no make here')
    said = subprocess.run(['make', 'help'], cwd=root, capture_output=True, text=True, encoding='utf-8').stdout
    for target in 'demo test test-slow lab notebooks docs bench clean'.split(): assert re.search(rf'make {target} +\w', said), target
