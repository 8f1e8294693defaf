"The command line as a user meets it: results on stdout, one plain line on stderr when the input is wrong, nothing half-written."
import contextlib, io, json, logging, os, subprocess, sys
from typing import NamedTuple
import numpy as np, pytest
from korembed.cli import main
from korembed.data import sample_path
from processes import finish

class Done(NamedTuple): returncode: int; stdout: str; stderr: str

def korembed(*args, cwd, limit=None):
    "The command in this process; with a file size limit in bytes (a full disk), in one of its own."
    args = list(map(str, args))
    if limit:
        done = finish(*args, cwd=cwd, limit=limit)
        return Done(done.returncode, done.stdout, done.stderr)
    logging.getLogger('korembed').handlers.clear()   # they write to the stderr of the call before
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding='utf-8') for _ in range(2))
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: code = main(args) or 0
        except SystemExit as e: code = e.code or 0
    return Done(code, *(s.seek(0) or s.read() for s in (out, err)))

def refused(*args, cwd, names, limit=None):
    "Exit 2, nothing on stdout, one line on stderr that holds all of `names`."
    done = korembed(*args, cwd=cwd, limit=limit)
    lines = [l for l in done.stderr.splitlines() if l.startswith('korembed: ')]
    assert done.returncode == 2 and done.stdout == '' and 'Traceback' not in done.stderr, (done.returncode, done.stdout, done.stderr)
    assert len(lines) == 1 and done.stderr.splitlines()[-1] == lines[0], done.stderr
    assert all(n in lines[0] for n in names), lines[0]
    return done

SMALL = sample_path('train/html.json')
QUICK = ('--model', 'offline', '--max-steps', 2, '--batch-size', 4, '--eval-samples', 5, '--max-samples', 12, '--device', 'cpu')

@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    "A model trained for two steps, and what the command printed."
    home = tmp_path_factory.mktemp('trained')
    done = korembed('train', SMALL, *QUICK, '--out', 'run', '--json', cwd=home)
    assert done.returncode == 0, done.stderr
    return home/'run', json.loads(done.stdout)

def test_train_leaves_what_a_run_leaves(trained):
    run, said = trained
    for name in ('run.json', 'train.log', 'training_metrics.jsonl', 'training_progress.json', 'model/training_config.json',
                 'model/lora_weights/adapter_model.safetensors', 'model/model.safetensors'):
        assert (run/name).is_file(), name
    assert list(run.glob('events.out.tfevents.*'))
    assert json.loads((run/'run.json').read_text(encoding='utf-8'))['metrics'] == said['metrics']

def test_plain_sentence_transformers_gives_the_same_vectors(trained):
    from sentence_transformers import SentenceTransformer
    from korembed.model import Embedder
    texts = ['세종대왕은 언제 태어났는가?', '한강은 서울을 지난다.']
    plain, ours = SentenceTransformer(str(trained[0]/'model'), device='cpu'), Embedder(str(trained[0]/'model'), device='cpu')
    assert np.abs(plain.encode_query(texts) - ours.encode_queries(texts)).max() < 1e-5
    assert np.abs(plain.encode_document(texts) - ours.encode_passages(texts)).max() < 1e-5
    base = Embedder('offline', device='cpu')
    assert np.abs(base.encode_queries(texts) - ours.encode_queries(texts)).max() > 1e-4   # it did change

PAPERS = {'evaluation_results.json', 'evaluation_summary.csv', 'evaluation_comparison.png', 'report.html', 'model_card_section.md'}

def test_evaluate_keeps_trained_articles_out_and_says_which_are_left(trained, tmp_path):
    run, said = trained
    done = korembed('evaluate', '--model', 'offline', '--model', run/'model', '--data', SMALL, '--with', 'bm25,hybrid', '--out', 'papers',
                    '--guard-data', sample_path('eval/english.jsonl'), '--judge', 'lexical', '--json', '--device', 'cpu', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result['results']) == {'base', 'tuned', 'bm25', 'hybrid', 'hybrid_base'}
    assert result['guard']['n_queries'] == 40 and result['judge']['exam']['evaluation_model'].startswith('lexical')
    assert set(result['comparison']) >= {'tuned', 'bm25', 'hybrid', 'hybrid_base', 'tuned_vs_bm25', 'hybrid_vs_bm25', 'hybrid_vs_tuned'}
    assert {'ndcg@10', 'recall@10', 'mrr@10', 'map@100', 'hit_rate@5'} <= set(result['results']['tuned'])
    assert result['held_out_articles'] == said['held_out_articles'] and result['setting'] == 'unseen'
    assert all(title in done.stderr for title in said['held_out_articles'])
    assert {p.name for p in (tmp_path/'papers').iterdir()} - {'evaluation_flips.html'} == PAPERS | {
        f'Information-Retrieval_evaluation_{s}_results.csv' for s in result['results']}
    page = (tmp_path/'papers'/'report.html').read_text(encoding='utf-8')
    assert all(part in page for part in ('unseen', 'english.jsonl', 'The judge: lexical', 'Holm'))

def test_papers_again_and_two_results_side_by_side_without_a_model(tmp_path):
    for name, options in dict(first=(), second=('--prompts', 'e5')).items():
        done = korembed('evaluate', '--model', 'offline', '--data', SMALL, '--with', 'bm25', '--out', name, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    again = korembed('report', 'first', '--out', 'copy', cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert {p.name for p in (tmp_path/'copy').iterdir()} == {p.name for p in (tmp_path/'first').iterdir()} >= PAPERS
    for name in ('evaluation_results.json', 'evaluation_summary.csv', 'report.html', 'model_card_section.md'):
        assert (tmp_path/'copy'/name).read_bytes() == (tmp_path/'first'/name).read_bytes(), name
    beside = korembed('report', 'first', 'second', '--out', 'both', '--json', cwd=tmp_path)
    found = json.loads(beside.stdout)['against']['second']
    means = [json.loads((tmp_path/n/'evaluation_results.json').read_text(encoding='utf-8'))['results']['base']['ndcg@10'] for n in ('first', 'second')]
    assert found['comparison']['base']['difference'] == pytest.approx(means[1] - means[0], abs=1e-5) != 0, beside.stderr
    assert json.loads((tmp_path/'both'/'comparison_results.json').read_text(encoding='utf-8'))['against']['second'] == found
    assert 'cannot tell' in korembed('report', 'first', 'second', cwd=tmp_path).stdout
    refused('report', 'first', 'first', cwd=tmp_path, names=['named twice'])
    refused('report', 'nowhere', cwd=tmp_path, names=['nowhere', 'korembed evaluate --out'])

def test_what_cannot_be_examined_is_refused_at_once(tmp_path):
    base = ('evaluate', '--model', 'offline', '--data', SMALL)
    refused(*base, '--guard-data', 'none.json', cwd=tmp_path, names=['none.json'])
    refused(*base, '--judge', 'lexical', cwd=tmp_path, names=['two models'])
    refused(*base, '--top-k', '0', cwd=tmp_path, names=['top_k=0'])
    refused(*base, '--cluster', 'book', cwd=tmp_path, names=['passage or article'])
    refused(*base, '--mteb', 'SquadKorRetrieval', cwd=tmp_path, names=['SQuADKorV1Retrieval'])

def test_a_model_trained_on_all_articles_is_not_examined_on_them(tmp_path):
    done = korembed('train', SMALL, *QUICK, '--train-split', '1.0', '--out', 'all', '--json', cwd=tmp_path)
    assert json.loads(done.stdout)['held_out_articles'] == [] and json.loads(done.stdout)['metrics'] == {}
    refused('evaluate', '--model', 'offline', '--model', 'all/model', '--data', SMALL, cwd=tmp_path, names=['trained on all', 'other data'])

def test_prepared_folder_index_and_search(trained, tmp_path):
    assert korembed('data', 'prepare', SMALL, '--out', 'prepared', cwd=tmp_path).returncode == 0
    assert korembed('train', 'prepared', *QUICK, '--out', 'run', cwd=tmp_path).returncode == 0
    (tmp_path/'글.txt').write_text('한강은 서울을 지난다.\n\n경복궁은 조선의 궁궐이다.\n', encoding='utf-8')
    for model, name in (('offline', 'original_embeddings'), (trained[0]/'model', 'finetuned_embeddings')):
        made = korembed('index', '글.txt', '--model', model, '--collection', name, '--json', cwd=tmp_path)
        assert json.loads(made.stdout)['chunks'] >= 1, made.stderr
    found = korembed('search', '서울을 지나는 강', '--model', trained[0]/'model', '--compare', '--json', cwd=tmp_path)
    assert set(json.loads(found.stdout)) == {'query', 'original', 'finetuned'}, found.stderr
    refused('search', '강', '--model', 'offline', cwd=tmp_path, names=['finetuned_embeddings', 'made by'])
    refused('search', '강', '--model', 'offline', '--collection', 'none', cwd=tmp_path, names=["'none'", 'finetuned_embeddings'])

# ---- wrong input

def write(path, text): path.write_text(text, encoding='utf-8'); return path.name

NO_ANSWER = dict(data=[dict(title='가', paragraphs=[dict(context='글', qas=[dict(id='1', question='무엇?', answers=[])])])])

@pytest.mark.parametrize('content,says', [
    (None, ['no such file', 'bad.json']), ('', ['bad.json']), ('[1]', ['bad.json', 'no questions were found']), ('{"a": ', ['bad.json', 'line 1']),
    (json.dumps(NO_ANSWER), ['bad.json', 'no usable question', 'no answer']), ('{"data": []}', ['bad.json'])])
@pytest.mark.parametrize('command', [('train', '--model', 'offline', '--out', 'out'), ('data', 'describe'), ('data', 'prepare', '--out', 'out'),
                                     ('evaluate', '--model', 'offline', '--out', 'out', '--data')])
def test_bad_data(tmp_path, command, content, says):
    if content is not None: write(tmp_path/'bad.json', content)
    words = list(command)
    at = len(words) if words[-1] == '--data' else 2 if words[0] == 'data' else 1
    refused(*words[:at], 'bad.json', *words[at:], cwd=tmp_path, names=says)
    assert [p.name for p in tmp_path.iterdir()] in ([], ['bad.json'])   # nothing half-written

NOT_THERE = """train none | train --model offline none | mine none | eda none | data describe none | data prepare none | data convert none --to csv --out c.csv
index none | index . none | index --tune-hybrid none | index . --metadata none | search --queries none | run none
generate none | generate . --tests none | generate . --prompt none | generate . --reviewed none
evaluate --model offline --data none | evaluate --model offline --data . --guard-data none | evaluate --model offline --data . --documents none
judge --queries none | judge --data none | scale latest --data none | scale latest --data . --guard-data none | ui --report none"""

def test_what_is_not_there_is_said_before_anything_is_loaded(tmp_path):
    lines = [line.split() for line in NOT_THERE.replace('\n', ' | ').split(' | ')]
    asked = f"import sys\nfrom korembed.cli import main\nfor line in {lines!r}:\n    try: main(line)\n    except SystemExit as e: print(e.code, *line)\n" \
            "print(sorted({'torch', 'chromadb', 'gradio', 'matplotlib', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, '-c', asked], cwd=tmp_path, capture_output=True, text=True, encoding='utf-8')
    assert done.stdout.splitlines() == [*(' '.join(['2', *line]) for line in lines), '[]'], done.stdout + done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(lines) and all(line.startswith('korembed: none: no ') for line in said), said
    assert not list(tmp_path.iterdir())

@pytest.mark.parametrize('model,says', [('nobody/nothing', ['nobody/nothing', '--model offline']), ('./nowhere', ['nowhere', 'no model']),
                                        ('empty', ['empty', 'no model']), ('torn', ['torn', 'not a model'])])
def test_model_that_is_none(tmp_path, model, says):
    (tmp_path/'empty').mkdir(); (tmp_path/'torn').mkdir()
    write(tmp_path/'torn'/'config.json', '{"model_type": "bert"}')
    refused('train', SMALL, '--model', model, '--out', 'out', cwd=tmp_path, names=says)
    assert not (tmp_path/'out').exists()

@pytest.mark.parametrize('option', [('--batch-size', '1'), ('--learning-rate', '-1'), ('--positive', 'all'), ('--train-split', '0'),
                                    ('--lora-targets', 'nolayer'), ('--precision', 'int4')])
def test_bad_option_is_named(tmp_path, option):
    done = korembed('train', SMALL, '--model', 'offline', '--out', 'out', *option, cwd=tmp_path)
    assert done.returncode == 2 and option[0].strip('-').replace('-', '_') in done.stderr.splitlines()[-1], done.stderr

def test_bad_rows_are_counted_and_named_and_the_rest_is_used(tmp_path):
    good = json.loads(sample_path('train/articles.json').read_text(encoding='utf-8'))['data'][:3]
    write(tmp_path/'mixed.json', json.dumps(dict(data=good + NO_ANSWER['data']), ensure_ascii=False))
    done = korembed('data', 'describe', 'mixed.json', '--json', cwd=tmp_path)
    d = json.loads(done.stdout)
    assert d['rejected'] == {'no answer': 1} and d['rows'] == 18 and '가: paragraph 1: 1' in d['warnings'][0]

@pytest.mark.skipif(os.name == 'nt', reason='needs a POSIX file size limit')
@pytest.mark.parametrize('limit,args', [
    (200_000, ('train', SMALL, *QUICK, '--out', 'out')),                    # the adapter and the weights do not fit
    (20_000, ('data', 'prepare', SMALL, '--out', 'out')),
    (20_000, ('index', sample_path('eval/solar_system.txt'), '--model', 'offline', '--db-path', 'out')),
    (2_000, ('evaluate', '--model', 'offline', '--data', SMALL, '--out', 'out', '--device', 'cpu'))])
def test_full_disk(tmp_path, limit, args):
    refused(*args, cwd=tmp_path, limit=limit, names=['out'])
    assert not list(tmp_path.rglob('model')) and not list(tmp_path.rglob('run.json')) and not list(tmp_path.rglob('evaluation_results.json'))
    assert not list(tmp_path.rglob('.korembed-*'))

@pytest.mark.parametrize('args', [('train', SMALL, *QUICK, '--out', 'file/out'), ('data', 'prepare', SMALL, '--out', 'file/out'),
                                  ('index', SMALL, '--model', 'offline', '--db-path', 'file/out'), ('demo', '--out', 'file/out'),
                                  ('evaluate', '--model', 'offline', '--data', SMALL, '--out', 'file/out', '--device', 'cpu')])
def test_folder_that_cannot_be(tmp_path, args):
    "A file stands where a folder is asked for: refused for every user, root included."
    write(tmp_path/'file', '나의 글')
    refused(*args, cwd=tmp_path, names=['file'])
    assert (tmp_path/'file').read_text(encoding='utf-8') == '나의 글'

def test_nothing_of_mine_is_written_over(trained, tmp_path):
    (tmp_path/'out').mkdir(); write(tmp_path/'out'/'mine.txt', '나의 글')
    refused('demo', '--out', 'out', cwd=tmp_path, names=['out', 'not empty'])
    refused('train', SMALL, *QUICK, '--out', trained[0], cwd=tmp_path, names=['finished run'])
    refused('data', 'prepare', SMALL, '--out', 'out', cwd=tmp_path, names=['out'])
    assert (tmp_path/'out'/'mine.txt').is_file()

def test_a_table_with_names_of_its_own(tmp_path):
    write(tmp_path/'표.csv', '물음,대답\n한글은 누가 만들었나?,세종\n환불은 며칠 걸려요?,사흘\n')
    refused('data', 'describe', '표.csv', cwd=tmp_path, names=['표.csv', '물음', '--columns'])
    done = korembed('data', 'describe', '표.csv', '--columns', 'question=물음,answer=대답', '--json', cwd=tmp_path)
    assert json.loads(done.stdout)['rows'] == 2, done.stderr
    refused('data', 'describe', '표.csv', '--columns', '물음', cwd=tmp_path, names=['--columns 물음'])
    refused('data', 'describe', '표.csv', '--format', 'xml', cwd=tmp_path, names=['xml', 'choose'])

def test_plain_questions_and_answers_are_trained_on_and_evaluated(tmp_path):
    "No passages: the answers are what is searched."
    lines = [json.dumps(dict(question=f'{n}번 상품은 며칠 만에 오나요?', answer=f'{n}번 상품은 주문하고 {n + 2}일 뒤에 도착합니다. 제주는 하루 더 걸립니다.'), ensure_ascii=False)
             for n in range(12)] + [json.dumps(dict(question=q, answer=a), ensure_ascii=False) for q, a in
             {'환불은 어떻게 하나요?': '고객 센터에 전화하면 사흘 안에 돌려 드립니다.', '영업시간은?': '평일 아침 아홉 시에 열고 저녁 여섯 시에 닫습니다.'}.items()]
    write(tmp_path/'상담.jsonl', '\n'.join(lines) + '\n{"question":')
    made = korembed('train', '상담.jsonl', '--model', 'offline', '--max-steps', 1, '--device', 'cpu', '--train-split', .5, '--out', 'run', '--json', cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    done = korembed('evaluate', '--model', 'offline', '--model', 'run/model', '--data', '상담.jsonl', '--json', '--device', 'cpu', cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result['setting'] == 'unseen' and result['n_queries'] == result['n_corpus'] == json.loads(made.stdout)['eval_examples'], done.stderr

def test_titles_in_front_are_one_setting(tmp_path):
    write(tmp_path/'표.csv', '물음,대답,제목\n한글은 누가 만들었나?,세종이 만들었다.,한글\n어느 도시를 지나나?,서울을 지난다.,한강\n')
    read = ('--columns', 'question=물음,answer=대답')
    done = korembed('evaluate', '--model', 'offline', '--data', '표.csv', *read, '--format', 'csv', '--title-in-text', '--with', 'bm25', '--device', 'cpu', '--json', cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result['title_in_text'] is True and result['n_queries'] == 2 and "--title-in-text --format csv --columns 'question=물음,answer=대답'" in result['command']
    made = korembed('data', 'prepare', '표.csv', *read, '--train-split', .5, '--title-in-text', '--out', 'out', '--json', cwd=tmp_path)
    assert json.loads(made.stdout)['title_in_text'] is True and (tmp_path/'out'/'pairs.parquet').is_file()
    corpus = [json.loads(l)['text'] for l in (tmp_path/'out'/'validation'/'corpus.jsonl').read_text(encoding='utf-8').splitlines()]
    assert len(corpus) == 1 and corpus[0] in ('한글\n세종이 만들었다.', '한강\n서울을 지난다.')
    write(tmp_path/'한강.txt', '서울을 지난다.')
    said = korembed('index', '한강.txt', '--model', 'offline', '--title-in-text', '--device', 'cpu', '--json', cwd=tmp_path)
    assert json.loads(said.stdout)['title_in_text'] is True, said.stderr
    refused('index', '한강.txt', '--model', 'offline', '--device', 'cpu', cwd=tmp_path, names=['title_in_text=True', 'not False', '--rebuild'])

def test_convert_says_what_is_lost(tmp_path):
    write(tmp_path/'표.csv', '물음,대답\n한글은 누가 만들었나?,세종\n')
    read = ('--columns', 'question=물음,answer=대답')
    done = korembed('data', 'convert', '표.csv', *read, '--to', 'korquad-1.0', '--out', '글.json', cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.splitlines() == ['1 rows of 표.csv in 글.json', 'nothing was lost'], done.stderr
    done = korembed('data', 'convert', '글.json', '--to', 'beir', '--out', '시험', '--json', cwd=tmp_path)
    assert json.loads(done.stdout)['lost'] == dict(answer=1) and (tmp_path/'시험'/'qrels'/'test.tsv').is_file()
    refused('data', 'convert', '시험', '--to', 'korquad-1.0', '--out', '또.json', cwd=tmp_path, names=['시험', 'no row has an answer', '--to'])
    refused('data', 'convert', '글.json', '--to', 'csv', '--out', '표.csv', cwd=tmp_path, names=['표.csv', 'exists', '--out'])
    refused('data', 'convert', '글.json', '--to', 'xml', '--out', 'x.xml', cwd=tmp_path, names=['xml', 'choose from'])

def test_sentence_pairs_with_a_score_are_a_lesson_too(tmp_path):
    write(tmp_path/'닮음.tsv', 'genre\tscore\ts1\tsentence2\n' + ''.join(f'x\t{n % 6}\t글 {n // 2}번.\t"글 {n}번.\n' for n in range(24)) + 'x\t\t하나\t둘\n')
    read, loss = ('--columns', 'sentence1=s1'), ('--loss', 'CoSENT')
    done = korembed('train', '닮음.tsv', *read, *loss, '--train-split', .7, *QUICK, '--out', 'run', cwd=tmp_path)
    assert done.returncode == 0 and 'spearman: ' in done.stdout and 'ndcg' not in done.stdout, done.stderr
    assert '1 rows without two sentences and a score left out' in done.stderr
    assert json.loads((tmp_path/'run'/'run.json').read_text(encoding='utf-8'))['overlap'] == dict(sentences=0)
    assert korembed('runs', 'show', 'run', '--root', '.', cwd=tmp_path).returncode == 0
    asked = korembed('train', '닮음.tsv', *read, *loss, *QUICK, '--dry-run', cwd=tmp_path)
    assert asked.returncode == 0 and 'false negative' not in asked.stdout and 'held out' in asked.stdout
    refused('train', '닮음.tsv', *read, *QUICK, '--out', 'x', cwd=tmp_path, names=['MultipleNegativesRanking', '--loss CoSENT'])
    refused('train', '닮음.tsv', *read, *loss, *QUICK, '--negatives', 'random', '--out', 'x', cwd=tmp_path, names=['negatives=random', 'leave it out'])
    refused('train', '닮음.tsv', *loss, *QUICK, '--out', 'x', cwd=tmp_path, names=['loss=CoSENT', 'sentence1, sentence2 and score'])
    write(tmp_path/'하나.tsv', 'sentence1\tsentence2\tscore\n가\t나\t1\n나\t다\t2\n')
    refused('train', '하나.tsv', *loss, *QUICK, '--out', 'x', cwd=tmp_path, names=['chain of sentences', '--train-split 1.0'])

def test_the_strength_of_an_adapter_is_tried_and_written(trained, tmp_path):
    run, _ = trained
    done = korembed('scale', run, '--data', SMALL, '--guard-data', sample_path('eval/english.jsonl'), '--scales', '0,1', '--device', 'cpu', '--json', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout)
    base = json.loads(korembed('evaluate', '--model', 'offline', '--model', run/'model', '--data', SMALL, '--with', '', '--json', '--device', 'cpu', cwd=tmp_path).stdout)
    assert tried['n_queries'] == dict(data=base['n_queries'], guard=40)   # what was trained on is kept out here, too
    assert abs(tried['rows'][1]['data'] - base['results']['tuned']['ndcg@10']) < 1e-5
    told = korembed('scale', run, '--at', .5, '--out', 'half', cwd=tmp_path)
    assert told.returncode == 0 and 'half' in told.stdout
    assert json.loads((tmp_path/'half'/'training_config.json').read_text(encoding='utf-8'))['lora_scale'] == .5
    refused('scale', run, cwd=tmp_path, names=['--data', '--at'])
    refused('scale', run, '--at', .5, cwd=tmp_path, names=['--out'])
    refused('scale', run, '--at', .5, '--out', 'half', cwd=tmp_path, names=['half', 'exists'])
    refused('scale', run, '--data', SMALL, '--scales', 'all', cwd=tmp_path, names=['--scales all'])
    refused('scale', 'offline', '--data', SMALL, cwd=tmp_path, names=['offline', 'lora_weights'])

def test_negatives_that_the_data_bring(tmp_path):
    known = [json.loads(l) for l in sample_path('eval/english.jsonl').read_text(encoding='utf-8').splitlines()]
    lines = [dict(query=a['question'], pos=[a['answer']], neg=[b['answer']]) for a, b in zip(known[:12], known[20:])]
    write(tmp_path/'짝.jsonl', '\n'.join(json.dumps(l, ensure_ascii=False) for l in lines))
    quick = ('--model', 'offline', '--max-steps', 1, '--batch-size', 4, '--device', 'cpu', '--train-split', .7, '--json')
    made = korembed('train', '짝.jsonl', *quick, '--negatives', 'own', '--out', 'run', cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    read = json.loads((tmp_path/'run'/'model'/'trained_on.json').read_text(encoding='utf-8'))['passages']
    n = json.loads(made.stdout)['train_examples']
    assert 4 < n < 12 and len(read) == 2 * n   # each right passage, and each wrong one
    plain = korembed('train', '짝.jsonl', *quick, '--out', 'run2', cwd=tmp_path)
    assert '--negatives own' in plain.stderr
    refused('train', SMALL, *quick[:-1], '--negatives', 'own', '--out', 'x', cwd=tmp_path, names=['html.json', 'brings no negatives'])

def test_search_asks_the_only_collection_there_is(tmp_path):
    (tmp_path/'글').mkdir(); (tmp_path/'글'/'한강.txt').write_text('한강은 서울을 지난다.', encoding='utf-8')
    refused('search', '한강', cwd=tmp_path, names=['no index here'])
    assert korembed('index', '글', '--model', 'offline', '--device', 'cpu', cwd=tmp_path).returncode == 0   # the base's collection
    said = korembed('search', '한강', '--device', 'cpu', '--mode', 'hybrid', cwd=tmp_path)
    assert said.returncode == 0 and '서울을 지난다' in said.stdout and 'no weight is kept' in said.stderr
    refused('search', '한강', '--collection', 'mine', cwd=tmp_path, names=["no collection 'mine' (there are: original_embeddings)", '--collection mine --db-path'])

def test_quiet_holds_in_a_training(tmp_path):
    before = dict(os.environ)
    try: done = korembed('--quiet', 'train', SMALL, '--out', 'run', *QUICK, cwd=tmp_path)
    finally: os.environ.clear(); os.environ |= before
    # bars of datasets, which another test may have imported, are not ours to hide here
    assert done.returncode == 0 and not any(w in done.stderr for w in ('held out', 'ndcg@10')), done.stderr
    assert 'held out' in (tmp_path/'run'/'train.log').read_text(encoding='utf-8')

def test_what_is_there_is_not_written_over(trained, tmp_path):
    (tmp_path/'글.txt').write_text('한강은 서울을 지난다.', encoding='utf-8')
    own = write(tmp_path/'own.json', json.dumps(NO_ANSWER))
    refused('evaluate', '--model', 'offline', '--data', SMALL, '--out', own, cwd=tmp_path, names=['own.json', 'is a file'])
    assert korembed('index', '글.txt', '--model', 'offline', cwd=tmp_path).returncode == 0
    refused('index', '--export', own, cwd=tmp_path, names=['own.json', '.parquet'])
    refused('mine', SMALL, '--model', 'offline', '--by', 'bm25', '--out', write(tmp_path/'own.jsonl', '{}'), cwd=tmp_path, names=['own.jsonl', 'not written by korembed mine'])
    assert (tmp_path/own).read_text(encoding='utf-8') == json.dumps(NO_ANSWER)

def test_a_device_that_is_not_there_is_named_and_no_model_is_blamed(tmp_path):
    (tmp_path/'글').mkdir(); (tmp_path/'글'/'한강.txt').write_text('한강은 서울을 지난다.', encoding='utf-8')
    for device, *command in (('cuda:99', 'train', SMALL, *QUICK, '--out', 'run'), ('foo', 'index', '글', '--model', 'offline')):
        said = refused(*command, '--device', device, cwd=tmp_path, names=[f'device={device}: PyTorch', 'give cpu'])
        assert 'not a model' not in said.stderr
    assert not (tmp_path/'run').exists()

def test_a_sweep_reads_and_checks_all_values_before_the_first_run(tmp_path):
    for field, values, said in [('foo', '1', 'no setting is called foo'), ('learning_rate', '1e-3,abc', "learning_rate='abc'"), ('learning_rate', '1e-3,,2', "learning_rate=''"),
                                ('learning_rate', '0.1.2', "learning_rate='0.1.2'"), ('learning_rate', '1e-3,5', 'learning_rate=5.0'), ('batch_size', '4.9', "batch_size='4.9'"),
                                ('seed', '1,-1', 'seed=-1'), ('loss', 'MultipleNegativesRanking,CoSENT', 'loss=CoSENT'), ('learning_rate', '', "learning_rate=''")]:
        refused('train', SMALL, *QUICK, '--out', 'rates', '--sweep', field, '--values', values, cwd=tmp_path, names=[said])
        assert not (tmp_path/'rates').exists(), field
    told = korembed('train', SMALL, *QUICK, '--max-steps', 1, '--out', 'rates', '--sweep', 'title_in_text', '--values', 'false', '--json', cwd=tmp_path)
    assert told.returncode == 0 and list(json.loads(told.stdout)['scores']) == ['False'], told.stderr
    assert json.loads((tmp_path/'rates'/'title_in_text=False'/'run.json').read_text(encoding='utf-8'))['config']['title_in_text'] is False

def test_a_seed_below_nought_is_refused(tmp_path):
    refused('train', SMALL, *QUICK, '--out', 'run', '--seed', -1, cwd=tmp_path, names=['seed=-1'])

def test_at_strength_nought_stands_the_base_as_it_was_published(trained, tmp_path):
    from korembed.model import at_scales, letters_of, load_model
    run, said = trained
    assert said['lora']['letters']   # this one spells what the base cannot
    for at, out in ((0, 'nought'), (1, 'full')):   # written as the base, and from there as trained again
        assert korembed('scale', run if at == 0 else 'nought', '--at', at, '--out', out, cwd=tmp_path).returncode == 0
    published, nought, full, tuned = (load_model(str(m), device='cpu') for m in ('offline', tmp_path/'nought', tmp_path/'full', run/'model'))
    texts = ['훈민정음을 만들었다.', '했다']
    for _, tried in at_scales(run, [0], 'cpu'): assert np.abs(tried.encode(texts) - published.encode(texts)).max() < 1e-6
    assert letters_of(nought, published) == {} and np.abs(nought.encode(texts) - published.encode(texts)).max() < 1e-6
    assert letters_of(full, published) == letters_of(tuned, published) != {} and np.abs(full.encode(texts) - tuned.encode(texts)).max() < 1e-5
