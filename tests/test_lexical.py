"What the page of lexical search does not show: torn indexes, larger corpora, and Kiwi where it is installed."
import json, random, shutil
import numpy as np, pytest
from korembed import lexical
from korembed.data import read_qa, sample_path
from korembed.lexical import BM25, char_bigrams, tokenize
from korembed.text import InputError

@pytest.fixture(scope='module')
def corpus():
    texts = sorted(set(read_qa(sample_path('train/articles.json'))['context']))
    return {f'문단 {i}': t for i, t in enumerate([*texts, *texts[:20]])}   # some stand twice: ties

@pytest.fixture(scope='module')
def questions(): return read_qa(sample_path('train/articles.json'))['question'][:60]

@pytest.fixture(scope='module')
def bm25(corpus): return BM25(corpus)

def test_the_index_is_what_the_library_makes_of_the_words(corpus, questions, bm25):
    import bm25s
    library = bm25s.BM25(method='lucene', k1=1.5, b=.75)
    library.index([char_bigrams(t) for t in corpus.values()], show_progress=False)
    for q in questions:
        words = [w for w in char_bigrams(q) if w in library.vocab_dict]
        assert np.array_equal(bm25.scores(q), library.get_scores(words)) and bm25.scores(q).dtype == np.float32

def test_the_best_are_those_of_a_whole_sort(questions, bm25):
    ties = 0
    for q in questions:
        scores = bm25.scores(q)
        whole = [(bm25.ids[i], float(scores[i])) for i in np.argsort(-scores, kind='stable') if scores[i] > 0]
        for k in (1, 2, 5, 10, len(scores) - 1, len(scores), 10_000): assert bm25.search(q, k) == whole[:k]
        ties += whole[0][1] == whole[1][1]
    assert ties   # some first place is shared

def test_only_some_are_found_with_their_own_scores(corpus, questions, bm25):
    some = set(random.Random(0).sample(list(corpus), 50))
    for q in questions:
        inside = np.array([i in some for i in corpus])
        assert np.array_equal(bm25.scores(q, some)[inside], bm25.scores(q)[inside]) and not bm25.scores(q, some)[~inside].any()
        assert bm25.search(q, 10, some) == [h for h in bm25.search(q, len(corpus)) if h[0] in some][:10]
        assert bm25.search(q, 10, list(some)) == bm25.search(q, 10, some)

def test_an_index_from_disk_gives_the_same(tmp_path, questions, bm25):
    loaded = BM25.load(bm25.save(tmp_path/'색인'))
    assert isinstance(loaded.index.scores['data'], np.memmap)
    for q in questions: assert np.array_equal(loaded.scores(q), bm25.scores(q)) and loaded.search(q) == bm25.search(q)
    BM25({'새': '새로 온 글'}).save(tmp_path/'색인')   # replaced as a whole
    assert BM25.load(tmp_path/'색인').ids == ['새'] and [p.name for p in tmp_path.iterdir()] == ['색인']

def flip(path):
    data = bytearray(path.read_bytes()); data[-3] ^= 1; path.write_bytes(bytes(data))

FILES = ('data.csc.index.npy', 'indices.csc.index.npy', 'indptr.csc.index.npy', 'vocab.index.json', 'params.index.json', 'ids.json')
HARMS = dict(gone=lambda p: p.unlink(), cut=lambda p: p.write_bytes(p.read_bytes()[:-7]), empty=lambda p: p.write_bytes(b''), flipped=flip)

@pytest.mark.parametrize('file', FILES)
@pytest.mark.parametrize('harm', HARMS)
def test_a_damaged_index_is_refused_by_name(tmp_path, harm, file):
    folder = BM25({'가': '한글은 세종이 만들었다.', '나': '한강은 흐른다.'}).save(tmp_path/'색인')
    HARMS[harm](folder/file)
    with pytest.raises(InputError, match='색인.*build it again') as e: BM25.load(folder)
    assert '\n' not in str(e.value)

@pytest.mark.parametrize('seal', ['', '{"schema": 1', '[]', '{"schema": 2, "tokens": "bigram", "files": {}}',
                                  '{"schema": 1, "files": {"x": "y"}}'])
def test_a_damaged_seal_is_refused_by_name(tmp_path, seal):
    folder = BM25({'가': '한글'}).save(tmp_path/'색인')
    (folder/'bm25.json').write_text(seal, encoding='utf-8')
    with pytest.raises(InputError, match='색인.*build it again'): BM25.load(folder)

def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    folder = BM25({'가': '한글'}).save(tmp_path/'색인')
    def full(*a, **kw): raise OSError('96 requested and 32 written')   # so numpy says it
    monkeypatch.setattr(np, 'save', full)
    with pytest.raises(InputError, match='색인: cannot be written.*free some space'): BM25({'나': '한강'}).save(folder)
    assert BM25.load(folder).ids == ['가'] and [p.name for p in tmp_path.iterdir()] == ['색인']

def test_a_file_or_another_folder_is_not_overwritten(tmp_path):
    (tmp_path/'file').write_text('mine', encoding='utf-8')
    with pytest.raises(InputError, match='file stands there'): BM25({'가': '한글'}).save(tmp_path/'file')
    assert (tmp_path/'file').read_text(encoding='utf-8') == 'mine'
    (tmp_path/'new').mkdir()
    assert BM25.load(BM25({'가': '한글'}).save(tmp_path/'new')).ids == ['가']   # an empty one is taken

def test_without_kiwi_it_says_what_to_type(tmp_path, monkeypatch):
    folder = BM25({'가': '한글'}).save(tmp_path/'색인')
    seal = json.loads((folder/'bm25.json').read_text(encoding='utf-8'))
    (folder/'bm25.json').write_text(json.dumps(seal | dict(tokens='kiwi')), encoding='utf-8')
    monkeypatch.setattr(lexical, 'find_spec', lambda name: None)
    for use in (lambda: BM25({'가': '한글'}, 'kiwi'), lambda: BM25.load(folder)):
        with pytest.raises(InputError, match=r"pip install 'korembed\[kiwi\]'"): use()

def test_kiwi_keeps_what_means_something():
    pytest.importorskip('kiwipiepy')
    cut = lambda text: next(tokenize([text], 'kiwi'))
    assert cut('세종은 1443년에 훈민정음을 만들었다.') == ['세종', '1443', '년', '훈민정음', '만들']
    assert cut('깨끗한 물을 마시며 K-pop을 들었어요.') == ['깨끗', '물', '마시', 'k', 'pop', '듣']
    assert cut('') == cut('?!') == []
    assert list(tokenize(['물', '', '산'], 'kiwi')) == [['물'], [], ['산']]
    import unicodedata
    assert cut(unicodedata.normalize('NFD', '물을 마신다')) == cut('물을 마신다') == ['물', '마시']

def test_kiwi_finds_by_the_stem_and_is_remembered(tmp_path):
    pytest.importorskip('kiwipiepy')
    corpus = {'걷기': '나는 어제 길을 걸었다.', '듣기': '나는 어제 노래를 들었다.'}
    for index in (BM25(corpus, 'kiwi'), BM25.load(BM25(corpus, tokens='kiwi').save(tmp_path/'색인'))):
        assert index.tokens == 'kiwi' and [d for d, _ in index.search('걷는 사람')] == ['걷기'] and not index.search('을 를 다')
    assert not BM25(corpus).search('걷는 사람')   # pairs of syllables do not know that
