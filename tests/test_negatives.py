"Hard negatives on real questions, and the command that writes them."
import inspect, json, os
import numpy as np, pyarrow.parquet as pq, pytest
from test_cli import SMALL, korembed, refused
from korembed.data import load_parts, make_pairs, read_qa
from korembed.negatives import audit_batches, candidates, mine, with_columns, with_negatives, write_mined
from korembed.config import TrainingConfig
from korembed.training import plan

BM25 = ('--model', 'offline', '--by', 'bm25', '--device', 'cpu')

@pytest.fixture(scope='module')
def pairs(korquad): return make_pairs(read_qa(korquad))

def expected(values, size):
    "Share of rows that meet their value again in a random batch, by counting."
    n, times = len(values), {v: values.count(v) for v in set(values)}
    miss = lambda s: np.prod([(n - 1 - s - k) / (n - 1 - k) for k in range(size - 1)])
    alone = {s: miss(s - 1) for s in set(times.values())}
    return 1 - np.mean([alone[times[v]] for v in values])

@pytest.mark.parametrize('size', [32, 128])
def test_random_batches_of_korquad_are_as_bad_as_counting_says(pairs, size):
    whole = pairs.select(range(len(pairs) // size * size))
    tables = [audit_batches(whole, size, seed=s) for s in range(3)]
    met = np.mean([t.loc['random', 'passage'] for t in tables])
    by_hand = expected(whole['passage_id'][:], size)
    assert abs(met - by_hand) < .008, (met, by_hand)
    if size == 32: assert .02 < by_hand < .06   # the whole dev set has 2.7 %; of fewer passages more meet
    for t in tables:
        assert t.loc['texts only', 'text'] == 0 and t.loc['random', 'any'] >= t.loc['random', ['passage', 'answer', 'text']].max()

def test_no_negative_of_korquad_is_a_sibling_or_holds_the_answer(korquad):
    qa = read_qa(korquad)
    part, corpus = make_pairs(qa).select(range(0, len(qa) - 400, 9)), candidates(qa)
    mined = mine(part, corpus, 'bm25', n=3)
    passage = {}
    for t, p in zip(corpus['text'], corpus['passage_id']): passage.setdefault(t, set()).add(p)
    squeezed = lambda t: ''.join(t.split()).lower()
    n = 0
    for r in mined:
        for t in r['negatives']:
            n += 1
            assert r['passage_id'] not in passage[t] and squeezed(r['answer']) not in squeezed(t)
    assert n > 2.9 * len(part)

def test_the_command_writes_what_training_can_use(tmp_path):
    files = ('mined.parquet', 'mined.jsonl')
    said = []
    for name in files:
        done = korembed('mine', SMALL, *BM25, '-n', 2, '--out', name, '--json', cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(files)
    assert said[0] | dict(out='') == said[1] | dict(out='')
    rows = [json.loads(l) for l in (tmp_path/'mined.jsonl').read_text(encoding='utf-8').splitlines()]
    assert rows == pq.read_table(tmp_path/'mined.parquet').to_pylist() and len(rows) == said[0]['pairs']
    parts, size = load_parts(SMALL), said[0]['chunk_size']
    held = ''.join(set(parts['validation']['context']))
    assert said[0]['held_out_articles'] == sorted(set(parts['validation']['title']))
    assert not any(t.strip() in held for r in rows for t in r['negatives'])
    pairs = make_pairs(parts['train'], chunk_size=size, chunk_overlap=round(50 * size / 512))
    counts = {}
    found = with_negatives(pairs, tmp_path/'mined.parquet', n=2, counts=counts)
    assert counts['not in the file'] == 0 and found['negatives'][:] == [r['negatives'] for r in rows]
    assert with_columns(found).column_names[2:4] == ['negative_1', 'negative_2']

def test_another_seed_holds_out_other_articles(tmp_path):
    mined = [json.loads(korembed('mine', SMALL, *BM25, '--seed', s, '--out', 'm.jsonl', '--json', cwd=tmp_path).stdout) for s in (1, 2)]
    for s, m in zip((1, 2), mined): assert m['held_out_articles'] == sorted(set(load_parts(SMALL, seed=s)['validation']['title']))
    assert mined[0]['held_out_articles'] != mined[1]['held_out_articles']

@pytest.mark.parametrize('args, names', [(('--out', 'mined.csv'), ['mined.csv', '.parquet']), (('--by', 'word'), ['word', 'bm25']),
                                         (('--margin', 1), ['margin=1']), (('-n', 0), ['n=0']), (('--depth', 0), ['depth=0'])])
def test_what_cannot_be_mined_is_refused_in_a_line(tmp_path, args, names):
    refused('mine', SMALL, '--model', 'offline', *args, cwd=tmp_path, names=names)
    assert not list(tmp_path.iterdir())

def test_a_file_fits_the_run_it_is_made_for(tmp_path):
    "Same defaults and same chunks as training."
    config, options = TrainingConfig(), inspect.signature(write_mined).parameters
    shared = [n for n in options if hasattr(config, n)]
    assert len(shared) >= 7 and all(options[n].default == getattr(config, n) for n in shared), shared
    assert options['model'].default == config.model_name
    # a base that lacks Hangul is given letters before its chunks are cut
    for more in (dict(), dict(max_seq_length=128), dict(name_letters=False)):
        made = write_mined(SMALL, tmp_path/'m.jsonl', 'offline', 'bm25', device='cpu', **more)
        asked = plan(SMALL, TrainingConfig(model_name='offline', negatives=str(tmp_path/'m.jsonl'), device='cpu', batch_size=2, **more))
        told = asked['negatives']
        assert told['not in the file'] == 0 and asked['train_examples'] == made['pairs'] - made['without'], told

@pytest.mark.skipif(os.name == 'nt', reason='needs a POSIX file size limit')
def test_a_full_disk_leaves_the_old_file(tmp_path):
    (tmp_path/'mined.jsonl').write_text('old', encoding='utf-8')
    refused('mine', SMALL, *BM25, '--out', 'mined.jsonl', cwd=tmp_path, limit=4096, names=['mined.jsonl'])
    assert (tmp_path/'mined.jsonl').read_text(encoding='utf-8') == 'old' and len(list(tmp_path.iterdir())) == 1
