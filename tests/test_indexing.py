"What an index has to bear: kills, a second writer, a server that goes away, stores of other versions, damage, a folder that may not be written."
import json, multiprocessing, os, random, shutil, signal, socket, subprocess, sys, threading, time, zipfile
from collections import Counter
from pathlib import Path
import numpy as np, pytest, torch
from korembed import indexing
from korembed.data import sample_path
from korembed.indexing import check_index, chunk_documents, index, read_documents
from korembed.model import Embedder
from korembed.retrieval import Searcher, search
from korembed.store import collection_folders, open_client, open_collection, read_note, write_note
from korembed.text import InputError
from processes import finish
from small_models import bert
from test_cli import korembed, refused

@pytest.fixture(scope='module')
def small(tmp_path_factory): return str(bert(tmp_path_factory.mktemp('model')/'small'))

@pytest.fixture(scope='module')
def docs():
    "A hundred documents of a few hundred chunks."
    lines = [l for l in sample_path('eval/solar_system.txt').read_text(encoding='utf-8').splitlines() if l.strip()]
    return {f'{i}.txt': f'{i}. {lines[i % len(lines)]}\n\n{lines[(7 * i + 3) % len(lines)]}' for i in range(100)}

def holds_exactly(name, db, docs, model, size=60):
    "Each chunk once, with its own text and vector, and found."
    wanted = chunk_documents(docs, size, 0).set_index('id')
    kept = open_collection(name, db).get(include=['documents', 'embeddings'])
    assert Counter(kept['ids']) == Counter(wanted.index) and kept['documents'] == wanted.text[kept['ids']].tolist()
    assert np.abs(np.asarray(kept['embeddings']) - Embedder(model, device='cpu').encode_passages(kept['documents'], progress=False)).max() < 1e-4
    seen = check_index(name, db)
    assert seen['problems'] == [] and seen['recall'] >= .99, seen   # the vectors of a random model lie close together

# ---- kills

def work(db, docs, model, rebuild, size, started):
    os.environ['TQDM_DISABLE'] = '1'
    indexing.STEP = 32   # many moments at which something is half done
    ready = Embedder(model, device='cpu')
    Path(started).touch()
    index(docs, ready, 'original_embeddings', db, size, 0, rebuild=rebuild)

@pytest.fixture(scope='module')
def fork():
    "Processes that need not import everything again."
    found = multiprocessing.get_context('forkserver')
    found.set_forkserver_preload(['korembed.indexing', 'test_indexing'])
    return found

def begin(fork, tmp_path, *args, inside=None):
    flag = tmp_path/'started'
    flag.unlink(missing_ok=True)
    process = fork.Process(target=work, args=(*args, str(flag)))
    process.start()
    for _ in range(6000):   # five minutes: a busy machine imports slowly
        if flag.exists() and (not inside or list(Path(args[0]).glob(inside))): return process
        if not process.is_alive(): break
        time.sleep(.05)
    raise AssertionError('the process did not begin')

@pytest.mark.parametrize('seed', [1, 2])
def test_killed_at_random_moments_it_holds_exactly_the_documents(fork, tmp_path, docs, small, seed):
    draw, db, killed, turns = random.Random(seed), str(tmp_path/'db'), 0, 0
    while killed < 5:   # a run that ends before its hour has come does not count
        turns += 1
        assert turns < 40, 'the runs end too soon to be killed'
        process = begin(fork, tmp_path, db, dict(draw.sample(sorted(docs.items()), 80)), small, draw.random() < .4, draw.choice((60, 80)))
        process.join(draw.uniform(0, 1.5))
        if process.is_alive(): os.kill(process.pid, signal.SIGKILL); killed += 1
        process.join()
    index(docs, small, 'original_embeddings', db, 60, 0, device='cpu')
    holds_exactly('original_embeddings', db, docs, small)
    assert len(list(Path(db).glob('rebuilt-*'))) <= 1

def be_born(db, started):
    Path(started).touch()
    open_client(db)

def test_a_database_killed_while_it_is_made_is_made_by_the_next(fork, tmp_path, docs, small):
    rng, unborn = random.Random(0), 0
    for i in range(15):
        db, flag = tmp_path/f'db{i}', tmp_path/f'started{i}'
        process = fork.Process(target=be_born, args=(str(db), str(flag)))
        process.start()
        while not flag.exists(): time.sleep(.002)
        time.sleep(rng.random() * .15)
        process.kill(); process.join()
        unborn += not (db/'chroma.sqlite3').exists()
        assert open_client(db).list_collections() == []
    assert unborn > 2   # or the kills came too late to prove anything
    index(docs, small, 'original_embeddings', db, 60, 0)
    holds_exactly('original_embeddings', db, docs, small)
    assert not list(db.glob('.korembed-*'))

def test_a_collection_has_its_note_from_the_first_moment(tmp_path, docs, small, monkeypatch):
    def dies(*args): raise KeyboardInterrupt
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):   # before anything is added to what was made
        m.setattr(indexing, 'write_note', dies)
        index(docs, small, 'original_embeddings', tmp_path/'db', 60, 0, device='cpu')
    index(docs, small, 'original_embeddings', tmp_path/'db', 60, 0, device='cpu')
    holds_exactly('original_embeddings', tmp_path/'db', docs, small)

def test_a_second_writer_is_told_to_wait_and_readers_are_not(fork, tmp_path, docs, small):
    db = str(tmp_path/'db')
    index(docs, small, 'original_embeddings', db, 60, 0, device='cpu')
    process = begin(fork, tmp_path, db, docs, small, True, 60, inside='rebuilt-*')
    os.kill(process.pid, signal.SIGSTOP)   # in the midst of it, for as long as we want
    try:
        with pytest.raises(InputError, match='another process is indexing here'): index(docs, small, 'other', db, device='cpu')
        assert len(search('태양', small, 'original_embeddings', db, mode='bm25')) == 5
    finally: os.kill(process.pid, signal.SIGKILL)
    process.join()
    index(docs, small, 'original_embeddings', db, 60, 0, device='cpu')
    holds_exactly('original_embeddings', db, docs, small)

def test_neighbours_are_found_on_real_text_after_documents_have_come_and_gone(tmp_path, docs):
    text = {'solar_system.txt': sample_path('eval/solar_system.txt').read_text(encoding='utf-8')[:12000]}
    for some in (dict(list(docs.items())[:20]), text, text | dict(list(docs.items())[:10])): index(some, 'offline', 'original_embeddings', tmp_path/'db', 100, 0, device='cpu')
    assert check_index('original_embeddings', tmp_path/'db', sample=300)['recall'] >= .999

# ---- what should not be found

@pytest.mark.parametrize('rebuilt', [False, True])
def test_stray_memory_that_a_killed_run_or_an_earlier_version_left_is_emptied(rebuilt, tmp_path, small):
    db, docs = tmp_path/'db', {'a.txt': '태양은 별이다.'}
    for name in ('original_embeddings', 'other'): index(docs, small, name, db, rebuild=rebuilt, device='cpu')
    files = list(db.rglob('data_level0.bin'))
    assert len(files) == 2
    for file in files:
        with open(file, 'r+b') as f: f.seek(-100, 2); f.write(b'sk-a-key')
    assert index(docs, small, 'other', db, device='cpu')['added'] == 0
    assert not any(b'sk-a-key' in file.read_bytes() for file in files) and len(search('별', small, 'other', db, device='cpu')) == 1

def test_after_a_rebuild_a_deleted_text_is_nowhere(tmp_path, small):
    db, docs = tmp_path/'db', {'a.txt': '태양은 별이다.', 'b.txt': '비밀은 SECRETWORD 이다.'}
    index(docs, small, 'original_embeddings', db, device='cpu')
    index(docs | {'a.txt': '달은 별이 아니다.'}, small, 'other', db, device='cpu')
    search('비밀', small, 'original_embeddings', db, mode='bm25', device='cpu')
    docs.pop('b.txt')
    index(docs, small, 'original_embeddings', db, rebuild=True, device='cpu')
    assert search('SECRETWORD', small, 'other', db, mode='bm25', device='cpu').source[0] == 'b.txt'   # who is not rebuilt stays
    index(docs, small, 'other', db, rebuild=True, device='cpu')
    assert not [f for f in db.rglob('*') if f.is_file() and b'SECRETWORD' in f.read_bytes()]
    assert {f.parent.parent.name[:8] for f in db.rglob('header.bin')} == {'rebuilt-'} and not list(db.glob('bm25-*/*'))   # nor are vectors and words
    index(docs, small, 'third', db, device='cpu')
    for name in ('original_embeddings', 'other', 'third'): assert len(search('별', small, name, db, device='cpu')) == 1

# ---- what belongs to others

def test_an_index_from_elsewhere_leads_out_of_its_folder_nowhere(tmp_path, small):
    db, theirs, name = tmp_path/'db', tmp_path/'theirs', 'original_embeddings'
    (theirs/'photos').mkdir(parents=True)
    index({'a.txt': '태양은 별이다.'}, small, name, db, device='cpu')
    right = read_note(open_collection(name, db))['contents']
    write_note(open_collection(name, db), dict(contents='../../theirs/x'))
    assert len(search('태양', small, name, db, mode='bm25', device='cpu')) == 1 and [p.name for p in theirs.iterdir()] == ['photos']
    write_note(open_collection(name, db), dict(contents=right))
    shelf = db/f'bm25-{name}'
    for folder in ('mine', '0' * 16): (shelf/folder).mkdir(parents=True)
    assert len(search('태양', small, name, db, mode='bm25', device='cpu')) == 1 and {p.name for p in shelf.iterdir()} == {right, 'mine'}
    (db/'korembed.json').write_text(json.dumps(dict(collections={name: '../theirs'})), encoding='utf-8')
    with pytest.raises(InputError, match='korembed.json: damaged'): search('태양', small, name, db)

def test_only_what_a_rebuild_left_is_swept(tmp_path, small):
    "A folder of the user's may be called so, too."
    mine = [tmp_path/'db'/'rebuilt-website', tmp_path/'db'/'rebuilt-20261122']
    for folder in mine: folder.mkdir(parents=True); (folder/'index.html').write_text('mine')
    left = [tmp_path/'db'/'rebuilt-0123abcd', tmp_path/'db'/'rebuilt-4567cdef']
    left[0].mkdir(); open_client(left[1])
    index({'a.txt': '태양은 별이다.'}, small, 'original_embeddings', tmp_path/'db', rebuild=True, device='cpu')
    assert all((folder/'index.html').is_file() for folder in mine) and not any(folder.exists() for folder in left)

# ---- a server

class Server:
    "A Chroma server that can be stopped and started on the same port."
    def __init__(self, folder):
        with socket.socket() as s: s.bind(('127.0.0.1', 0)); self.port = s.getsockname()[1]
        self.folder, self.address, self.process = folder, f'http://127.0.0.1:{self.port}', None
    def start(self):
        run = shutil.which('chroma', path=str(Path(sys.executable).parent)) or shutil.which('chroma')
        self.process = subprocess.Popen([run, 'run', '--path', str(self.folder), '--host', '127.0.0.1', '--port', str(self.port)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try: open_client(self.address).heartbeat(); return self
            except InputError: time.sleep(.1)
        raise AssertionError('the server did not start')
    def stop(self): self.process.kill(); self.process.wait()

@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path/'served').start()
    yield made
    made.stop()

class Then(Embedder):
    "Does something before the n-th batch is encoded."
    def encode_passages(self, passages, progress=None):
        self.batches = getattr(self, 'batches', 0) + 1
        if self.batches == self.at: self.then()
        return super().encode_passages(passages, progress)

def test_a_server_that_goes_away_and_comes_back(server, docs, small, monkeypatch):
    monkeypatch.setattr(indexing, 'STEP', 64)
    model = Then(small, device='cpu')
    model.at, model.then = 2, lambda: (server.stop(), threading.Timer(2, server.start).start())
    made = index(docs, model, 'original_embeddings', server.address, 60, 0)
    assert made['added'] == made['chunks'] > 200
    holds_exactly('original_embeddings', server.address, docs, small)

def test_a_server_that_stays_away_loses_nothing(server, docs, small, monkeypatch):
    monkeypatch.setattr(indexing, 'STEP', 64); monkeypatch.setattr(indexing, 'PATIENCE', 1.)
    model = Then(small, device='cpu')
    model.at, model.then = 3, server.stop
    with pytest.raises(InputError, match='no answer from a Chroma server'): index(docs, model, 'original_embeddings', server.address, 60, 0)
    with pytest.raises(InputError, match='no answer from a Chroma server'): search('태양', small, 'original_embeddings', server.address)
    server.start()
    again = index(docs, small, 'original_embeddings', server.address, 60, 0, device='cpu')
    assert again['chunks'] - again['added'] == 128   # what was stored before was kept
    holds_exactly('original_embeddings', server.address, docs, small)

def test_made_anew_on_a_server_after_that_was_broken_off(server, docs, small, monkeypatch):
    def dies(): raise KeyboardInterrupt
    monkeypatch.setattr(indexing, 'STEP', 64)
    model = Then(small, device='cpu')
    model.at, model.then = 2, dies
    index(docs, small, 'original_embeddings', server.address, 80, 0, device='cpu')
    with pytest.raises(KeyboardInterrupt): index(docs, model, 'original_embeddings', server.address, 60, 0, rebuild=True)
    holds_exactly('original_embeddings', server.address, docs, small, 80)   # readers keep the old one
    index(docs, small, 'original_embeddings', server.address, 60, 0, device='cpu', rebuild=True)
    holds_exactly('original_embeddings', server.address, docs, small)
    assert [c.name for c in open_client(server.address).list_collections()] == ['original_embeddings']

def test_the_same_commands_on_a_server(server, tmp_path, small):
    (tmp_path/'글.txt').write_text('한강은 서울을 지난다.\n\n경복궁은 조선의 궁궐이다.\n', encoding='utf-8')
    at = ('--chroma', server.address)
    for extra in ((), ('--rebuild',)):
        done = korembed('index', '글.txt', '--model', small, *at, *extra, '--check', '--json', cwd=tmp_path)
        assert done.returncode == 0 and json.loads(done.stdout)['check']['problems'] == [], done.stderr
    assert [c.name for c in open_client(server.address).list_collections()] == ['original_embeddings']
    for mode in ('dense', 'bm25', 'hybrid'):
        found = korembed('search', '서울의 강', '--collection', 'original_embeddings', '--mode', mode, *at, '--json', cwd=tmp_path)
        assert json.loads(found.stdout)['hits'][0]['source'] == '글.txt', found.stderr
    refused('search', '강', '--collection', 'finetuned_embeddings', *at, cwd=tmp_path, names=["no collection 'finetuned_embeddings'", 'original_embeddings', f'--chroma {server.address}'])
    assert not (tmp_path/'chroma_db').exists()

# ---- stores of other times, damaged ones, and one that may not be written

@pytest.fixture
def old_store(tmp_path, root):
    with zipfile.ZipFile(root/'tests'/'data'/'chroma_0.5.23.zip') as z: z.extractall(tmp_path/'old')
    return tmp_path/'old'

def test_a_store_of_an_older_chroma_is_read_and_can_be_made_anew(old_store):
    asking = Searcher('offline', 'original_embeddings', old_store, device='cpu')
    assert asking.store.count() == 18
    for kept in asking.store.get(limit=5)['documents']: assert asking.search(kept, top_k=1).text[0] == kept
    text = sample_path('eval/solar_system.txt').read_text(encoding='utf-8')[:1500]
    with pytest.raises(InputError, match='made by an older Chroma.*--rebuild'): index({'a.txt': '글'}, 'offline', 'original_embeddings', old_store, 120, 0, device='cpu')
    assert asking.search(kept, top_k=1).text[0] == kept   # nothing was changed by that
    anew = index({'solar_system.txt': text}, 'offline', 'original_embeddings', old_store, 120, 0, device='cpu', rebuild=True)
    assert anew['added'] == anew['chunks'] == 18 and asking.search(kept, top_k=1).text[0] == kept
    assert open_client(old_store).get_collection('someone_elses', embedding_function=None).get()['documents'] == ['남의 글']

def test_a_collection_that_korembed_did_not_make_is_not_asked(old_store):
    with pytest.raises(InputError, match='its space is l2'): search('글', 'offline', 'someone_elses', old_store)

def lose_the_graph(db):
    for folder in db.glob('*-*-*'): shutil.rmtree(folder)

def spoil_the_graph(db):
    for file in db.glob('*-*-*/data_level0.bin'): file.write_bytes(bytes(file.stat().st_size))

def spoil_the_tables(db): (db/'chroma.sqlite3').write_bytes(b'noise' * 9999)

def empty_the_tables(db): (db/'chroma.sqlite3').write_bytes(b'')

@pytest.mark.parametrize('spoil', [lose_the_graph, spoil_the_graph, spoil_the_tables, empty_the_tables])
def test_a_damaged_store_is_reported_and_made_anew_by_one_command(fork, tmp_path, small, monkeypatch, spoil):
    (tmp_path/'글').mkdir()
    for i in range(60): (tmp_path/'글'/f'{i}.txt').write_text('\n\n'.join(f'{i}째 글의 {j}째 문단은 {i * j}을 말한다.' for j in range(20)), encoding='utf-8')
    before = {p.name: p.read_bytes() for p in (tmp_path/'글').iterdir()}
    filled = fork.Process(target=work, args=(str(tmp_path/'chroma_db'), read_documents(tmp_path/'글'), small, False, 30, str(tmp_path/'started')))
    filled.start(); filled.join(); assert filled.exitcode == 0
    spoil(tmp_path/'chroma_db')
    monkeypatch.setattr('korembed.retrieval.EXACT', 0)   # HNSW, as with many chunks
    ask = ('search', '셋째 문단', '--model', small, '--collection', 'original_embeddings')
    refused(*ask, cwd=tmp_path, names=['damaged', 'korembed index DOCS', '--rebuild'])
    made = korembed('index', '글', '--model', small, '--chunk-size', 30, '--chunk-overlap', 0, '--rebuild', '--check', cwd=tmp_path)
    assert made.returncode == 0 and 'nothing wrong' in made.stdout, made.stderr
    assert korembed(*ask, cwd=tmp_path).returncode == 0
    assert {p.name: p.read_bytes() for p in (tmp_path/'글').iterdir()} == before

def test_a_model_is_kept_by_the_name_it_was_loaded_by(tmp_path, docs, small):
    few = dict(list(docs.items())[:3])
    opened = Embedder(Path(small), device='cpu')
    for model, name in ((small, small), (Path(small), small), (opened, small), (opened.model, 'a loaded model')):
        index(few, model, 'original_embeddings', tmp_path/'db', 60, 0, device='cpu')
        assert read_note(open_collection('original_embeddings', tmp_path/'db'))['model'] == name
    # and is found again by it
    index(few, Embedder(small, device='cpu'), 'original_embeddings', tmp_path/'db', 60, 0)
    assert len(search('태양', None, 'original_embeddings', tmp_path/'db', device='cpu'))

def test_a_folder_that_may_not_be_written(tmp_path, docs, small):
    index(docs, small, 'original_embeddings', tmp_path/'db', 60, 0, device='cpu')
    before = {p.relative_to(tmp_path): p.read_bytes() for p in (tmp_path/'db').rglob('*') if p.is_file()}
    for p in [*(tmp_path/'db').rglob('*'), tmp_path/'db']: p.chmod(p.stat().st_mode & ~0o222)
    alone = ['setpriv', '--bounding-set=-dac_override', '--inh-caps=-dac_override'] if os.geteuid() == 0 else []   # root may write anywhere
    code = '''import sys
from korembed.cli import main
for command in (['search', '태양'], ['index', sys.argv[1]]):
    try: main([*command, *sys.argv[2:]])
    except SystemExit as e: print(e.code)'''
    at = ('--model', small, '--collection', 'original_embeddings', '--db-path', str(tmp_path/'db'))
    try:
        done = subprocess.run([*alone, sys.executable, '-c', code, str(sample_path('eval/solar_system.txt')), *at], capture_output=True, text=True,
                              encoding='utf-8', cwd=tmp_path)
        assert done.stdout == '2\n2\n' and 'Traceback' not in done.stderr, (done.stdout, done.stderr)
        assert sum('may not be written' in line for line in done.stderr.splitlines()) == 2, done.stderr
        assert {p.relative_to(tmp_path): p.read_bytes() for p in (tmp_path/'db').rglob('*') if p.is_file()} == before
    finally:
        for p in [tmp_path/'db', *(tmp_path/'db').rglob('*')]: p.chmod(p.stat().st_mode | 0o700)

# ---- the command line

@pytest.fixture(scope='module')
def filled(tmp_path_factory, small):
    home = tmp_path_factory.mktemp('filled')
    (home/'한강.txt').write_text('한강은 서울을 지난다.', encoding='utf-8')
    (home/'궁.txt').write_text('경복궁은 조선의 궁궐이다.\x1b[2J\x07', encoding='utf-8')
    (home/'known.csv').write_text('source,year\n한강.txt,2020\n궁.txt,1395\n', encoding='utf-8')
    for name in ('original_embeddings', 'finetuned_embeddings'):
        done = korembed('index', '한강.txt', '궁.txt', '--model', small, '--collection', name, '--metadata', 'known.csv', cwd=home)
        assert done.returncode == 0 and '2 chunks' in done.stdout, done.stderr
    return home

def test_search_answers_in_each_mode_under_a_condition(filled):
    for mode in ('dense', 'bm25', 'hybrid'):
        found = korembed('search', '조선의 서울', '--mode', mode, '--where', 'year<1500', '--json', cwd=filled)
        assert [h['source'] for h in json.loads(found.stdout)['hits']] == ['궁.txt'], found.stderr
        assert json.loads(found.stdout)['hits'][0]['metadata'] == {'year': 1395}
    refused('search', '강', '--where', 'year', cwd=filled, names=["where: 'year'", 'FIELD=VALUE'])

def test_words_are_matched_in_the_state_of_today(tmp_path, small):
    for text in ('한강은 서울을 지난다.', '경복궁은 조선의 궁궐이다.'):   # the index of words that the first left beside the collection is replaced
        (tmp_path/'글.txt').write_text(text, encoding='utf-8')
        assert korembed('index', '글.txt', '--model', small, '--collection', 'finetuned_embeddings', cwd=tmp_path).returncode == 0
        found = korembed('search', text, '--mode', 'bm25', '--json', cwd=tmp_path)
        assert [h['text'] for h in json.loads(found.stdout)['hits']] == [text], found.stderr
        assert len(list((tmp_path/'chroma_db'/'bm25-finetuned_embeddings').iterdir())) == 1

def test_compare_shows_both_with_ranks_and_scores(filled):
    found = json.loads(korembed('search', '서울을 지나는 강', '--compare', '--json', cwd=filled).stdout)
    assert set(found) == {'query', 'original', 'finetuned'}
    for side in ('original', 'finetuned'):
        assert [h['rank'] for h in found[side]] == [1, 2] and found[side][0]['score'] >= found[side][1]['score']

def test_two_collections_that_are_cut_differently_are_not_compared_in_silence(filled, tmp_path):
    shutil.copytree(filled, tmp_path/'both')
    ask = ('search', '서울을 지나는 강', '--compare')
    assert 'different chunks' not in korembed(*ask, cwd=tmp_path/'both').stderr
    (tmp_path/'글').mkdir(); (tmp_path/'글'/'강.txt').write_text('한강은 서울을 지나 서해로 흐른다. ' * 9, encoding='utf-8')
    done = korembed('index', tmp_path/'글', '--model', 'offline', '--chunk-size', 30, '--chunk-overlap', 5, '--rebuild', '--device', 'cpu', cwd=tmp_path/'both')
    assert done.returncode == 0, done.stderr
    assert '--chunk-size 30 --chunk-overlap 5 --rebuild' in korembed(*ask, cwd=tmp_path/'both').stderr

def test_questions_from_a_file(filled):
    (filled/'questions.txt').write_text('서울을 지나는 강은?\n\n조선의 궁궐은?\n', encoding='utf-8')
    found = json.loads(korembed('search', '--queries', 'questions.txt', '--top-k', 1, '--mode', 'bm25', '--json', cwd=filled).stdout)
    assert [h['source'] for h in found['hits']] == ['한강.txt', '궁.txt'] and found['queries'] == {'0': '서울을 지나는 강은?', '1': '조선의 궁궐은?'}
    for words in (('search',), ('search', '강', '--queries', 'questions.txt')): refused(*words, cwd=filled, names=['QUERY', '--queries'])
    (filled/'none.txt').write_text('\n', encoding='utf-8'); refused('search', '--queries', 'none.txt', cwd=filled, names=['none.txt', 'empty'])

def test_questions_from_standard_input(filled):
    (filled/'asked').write_text('조선의 궁궐은?\n', encoding='utf-8')
    done = finish('search', '--queries', '-', '--mode', 'bm25', '--top-k', 1, cwd=filled, stdin=filled/'asked')
    assert done.returncode == 0 and '궁.txt' in done.stdout and '\x1b' not in done.stdout and '\x07' not in done.stdout, done.stderr

def test_terms_are_marked_on_a_terminal(filled, monkeypatch):
    from korembed.cli import _hits_text
    hits = search('조선의 궁궐은?', None, 'finetuned_embeddings', filled/'chroma_db', 1, 'bm25')
    shown = _hits_text(hits, {'0': '조선의 궁궐은?'}, True)
    assert '\033[1;33m조선의\033[0m' in shown and '\x1b[2J' not in shown and '\033' not in _hits_text(hits, {'0': '조선의 궁궐은?'}, False)

def test_check_and_export_need_no_documents(filled, small):
    done = korembed('index', '--check', '--export', 'v.parquet', '--collection', 'original_embeddings', '--json', cwd=filled)
    assert done.returncode == 0 and json.loads(done.stdout)['exported']['rows'] == 2 and (filled/'v.parquet').is_file(), done.stderr
    refused('index', cwd=filled, names=['nothing to do', 'DOCS'])
    refused('index', '한강.txt', '--model', small, '--hnsw', 'wide', cwd=filled, names=['--hnsw wide'])
    refused('index', '--check', '--db-path', 'nowhere', cwd=filled, names=['no index here'])
    assert not (filled/'nowhere').exists()

def test_check_ends_with_1_when_something_is_wrong(filled):
    shutil.copytree(filled/'chroma_db', filled/'copy')
    store = open_collection('original_embeddings', filled/'copy')
    store.delete(ids=store.get(limit=1)['ids'])
    done = korembed('index', '--check', '--db-path', 'copy', cwd=filled)
    assert done.returncode == 1 and 'problem: 1 chunks, but 2 were written' in done.stdout

def test_the_note_tells_what_made_it(filled, small):
    note = read_note(open_collection('original_embeddings', filled/'chroma_db'))
    assert note['model'] == small and set(note['sources']) == {'한강.txt', '궁.txt'} and note['state'] == 'whole' and note['space'] == 'cosine'
    assert collection_folders(filled/'chroma_db') == dict(original_embeddings='.', finetuned_embeddings='.')

# ---- a weight for the hybrid, and a second look

def test_a_weight_is_tuned_on_labelled_questions_and_kept(tmp_path, small):
    from korembed.fusion import blend
    from korembed.retrieval import rank_bm25, rank_dense
    questions = sample_path('train/html.json')
    assert korembed('index', questions, '--mode', 'korquad', '--model', small, '--collection', 'original_embeddings', cwd=tmp_path).returncode == 0
    done = korembed('index', '--tune-hybrid', questions, '--collection', 'original_embeddings', '--json', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    weight = json.loads(done.stdout)['hybrid']['weight']
    asking = Searcher(None, 'original_embeddings', tmp_path/'chroma_db', device='cpu')
    assert asking.note['hybrid_weight'] == weight
    kept, query = asking.store.get(), {'0': '글은 어떻게 쓰는가?'}
    corpus = dict(zip(kept['ids'], kept['documents']))
    wanted = blend(rank_bm25(query, corpus), rank_dense(asking.embedder, query, corpus), .3)['0'][:5]
    found = asking.search(query, mode='hybrid', weight=.3)
    assert found.doc_id.tolist() == [d for d, _ in wanted] and np.allclose(found.score, [s for _, s in wanted], atol=1e-5)
    asking.search(query, mode='hybrid')   # the kept one
    again = korembed('index', questions, '--mode', 'korquad', '--model', small, '--collection', 'original_embeddings', cwd=tmp_path)
    assert again.returncode == 0 and read_note(open_collection('original_embeddings', tmp_path/'chroma_db'))['hybrid_weight'] == weight

def reranker(folder, small, labels):
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
    import torch
    torch.manual_seed(0)
    AutoTokenizer.from_pretrained(small).save_pretrained(folder)
    config = BertConfig.from_pretrained(small, num_labels=labels)
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)

def test_any_cross_encoder_orders_the_first_hits_again(filled, small, tmp_path):
    from sentence_transformers import CrossEncoder
    name = reranker(tmp_path/'one', small, 1)
    done = korembed('search', '조선의 궁궐은?', '--rerank', name, '--json', cwd=filled)
    hits = json.loads(done.stdout)['hits']
    scores = CrossEncoder(name, device='cpu').predict([('조선의 궁궐은?', h['text']) for h in hits])
    assert len(hits) == 2 and np.allclose([h['score'] for h in hits], scores, atol=1e-5) and scores[0] >= scores[1], done.stderr
    refused('search', '궁', '--rerank', reranker(tmp_path/'two', small, 2), cwd=filled, names=['gives 2 scores', 'one'])
    refused('search', '궁', '--rerank', 'nobody/nothing', cwd=filled, names=['reranker nobody/nothing'])

# ---- a searcher that stays open

def other(small, folder, weight):
    "The small model with one matrix changed."
    model = Embedder(small, device='cpu').model
    with torch.no_grad(): next(p for n, p in model.named_parameters() if n.endswith('intermediate.dense.weight')).mul_(weight)
    model.save(str(folder))
    return str(folder)

def test_made_anew_by_another_model_while_a_searcher_is_open(tmp_path, docs, small):
    db, some = tmp_path/'db', {n: docs[n] for n in list(docs)[:20]}
    index(some, small, 'original_embeddings', db, 60, 0)
    follows, holds = (Searcher(m, 'original_embeddings', db, device='cpu') for m in (None, small))
    first = [s.search('태양의 나이는?') for s in (follows, holds)]
    assert first[0].doc_id.tolist() == first[1].doc_id.tolist()
    new = other(small, tmp_path/'new', 3)
    index(some, new, 'original_embeddings', db, 60, 0, rebuild=True)
    again = follows.search('태양의 나이는?')
    np.testing.assert_allclose(again.score, search('태양의 나이는?', new, 'original_embeddings', db, device='cpu').score, atol=1e-5)
    assert not np.allclose(again.score, first[0].score, atol=1e-4)
    with pytest.raises(InputError, match='made'): holds.search('태양의 나이는?')

def test_a_broken_model_is_not_called_a_broken_database(tmp_path, docs, small):
    db = tmp_path/'db'
    index(docs, small, 'original_embeddings', db, 60, 0)
    asking = Searcher(Embedder(small, device='cpu'), 'original_embeddings', db)
    asking.search('태양의 나이는?')
    with torch.no_grad(): next(asking.embedder.model.parameters()).fill_(float('nan'))
    with pytest.raises(InputError, match='model gives vectors that are not finite'): asking.search('태양의 나이는?')

@pytest.mark.parametrize('file,old,new', [('1_Pooling/config.json', '"mean"', '"cls"'), ('tokenizer.json', '"lowercase": true', '"lowercase": false')])
def test_a_model_whose_pooling_or_tokenizer_was_changed_in_place_is_refused(tmp_path, docs, small, file, old, new):
    some, db, folder = {n: docs[n] for n in list(docs)[:3]}, tmp_path/'db', tmp_path/'m'
    Embedder(small, device='cpu').model.save_pretrained(str(folder))
    for name in ('before', 'now'): index(some, str(folder), name, db, 60, 0)
    made = open_collection('before', db)   # by a version that wrote down nothing of it
    made.modify(metadata={k: v for k, v in made.metadata.items() if k != 'reads'})
    text = (folder/file).read_text(encoding='utf-8')
    assert old in text
    (folder/file).write_text(text.replace(old, new), encoding='utf-8')
    for act in (lambda n: search('태양의 나이는?', None, n, db, device='cpu'), lambda n: index(some, str(folder), n, db, 60, 0)):
        with pytest.raises(InputError, match='another tokenizer or pooling'): act('now')
        act('before')
