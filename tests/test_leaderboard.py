"The public table: the exam built from real KorQuAD, the hub out of reach, a model in the hands of mteb."
import json
import pytest
from korembed.data import RetrievalSet, read_qa
from korembed.leaderboard import TASK, korquad_task, leaderboard, run_mteb, task_sizes
from korembed.text import InputError

def test_the_part_in_hand_fits_what_mteb_states_of_the_whole(korquad):
    mteb = pytest.importorskip('mteb')
    stated, exam = mteb.get_task(TASK['name']).metadata.descriptive_stats['test'], korquad_task(korquad)
    documents, questions = list(exam.corpus.values()), list(exam.queries.values())
    about = stated['documents_text_statistics']
    # title, blank, passage: with the passage alone these are 349 and 2946
    assert (min(map(len, documents)), max(map(len, documents))) == (about['min_text_length'], about['max_text_length']) == (352, 2952)
    # stripped: in the file the longest ends in a blank
    assert max(map(len, questions)) == stated['queries_text_statistics']['max_text_length'] == 110
    assert (len(questions), len(documents)) == (4523, 769)   # of 772 passages one stands three times, and one has no question
    assert set(exam.queries) == set(read_qa(korquad)['id'])
    table, comparable, sentence = leaderboard({'base': {'ndcg@10': .9, 'recall@1': .8, 'recall@10': .95}}, task_sizes(exam))
    assert not comparable and '769 passages where the task has 960' in sentence and table['whose'].iloc[-1] == 'ours, not comparable'

def test_hub_out_of_reach_is_one_line(tmp_path):
    pytest.importorskip('mteb')
    with pytest.raises(InputError, match=r'SQuADKorV1Retrieval: its data \(yjoonjang/squad_kor_v1\) cannot be fetched') as e:
        run_mteb(None, [TASK['name']], tmp_path/'out')
    assert '\n' not in str(e.value) and not (tmp_path/'out').exists()

def test_without_the_extra_one_line_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr('korembed.leaderboard.find_spec', lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'korembed\[mteb\]'"): run_mteb(None, [TASK['name']], tmp_path)

def test_what_is_done_stays_when_a_later_task_fails(tmp_path, monkeypatch):
    mteb = pytest.importorskip('mteb')
    from korembed.model import Embedder
    real, embedder = mteb.get_tasks, Embedder('offline', prompts='e5', device='cpu')
    class Here(type(mteb.get_task(TASK['name']))):
        def load_data(self):
            self.queries, self.corpus = dict(test=dict(q='달은 언제 뜨나요?')), dict(test=dict(a='달은 저녁에 뜬다.', b='고래는 젖을 먹인다.'))
            self.relevant_docs, self.data_loaded = dict(test=dict(q=dict(a=1))), True
    monkeypatch.setattr(mteb, 'get_tasks', lambda tasks=None, **k: [Here(), *real(tasks=['KLUE-STS'])] if tasks else real(**k))
    with pytest.raises(InputError, match='KLUE-STS: its data'): run_mteb(embedder, [TASK['name'], 'KLUE-STS'], tmp_path)
    assert embedder.model.prompts['passage'] == 'passage: '
    assert [p.name for p in tmp_path.iterdir()] == ['SQuADKorV1Retrieval.json']
    monkeypatch.setattr(mteb, 'get_tasks', lambda tasks=None, **k: [Here()] if tasks else real(**k))
    table = run_mteb(embedder, [TASK['name']], tmp_path)
    said = json.loads((tmp_path/'SQuADKorV1Retrieval.json').read_text(encoding='utf-8'))
    assert table.to_dict('records') == [dict(task=TASK['name'], split='test', subset='default', metric='ndcg_at_10', score=said['scores']['test'][0]['main_score'])]
    assert mteb.TaskResult.from_disk(tmp_path/'SQuADKorV1Retrieval.json').task_name == TASK['name']
