"Any form into any other and back: what comes back, what is counted as lost, what is refused."
import csv, json, os, tempfile
from pathlib import Path
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from korembed.convert import TARGETS, convert
from korembed.data import read_qa
from korembed.text import InputError

more = os.environ.get('KOREMBED_EXAMPLES')   # how many to draw afresh; without it the same few every time
quick = settings(max_examples=int(more or 15), derandomize=not more, deadline=None, suppress_health_check=list(HealthCheck))
ENDS = {'korquad-1.0': '.json', 'qa-jsonl': '.jsonl', 'csv': '.csv', 'parquet': '.parquet', 'flagembedding': '.jsonl', 'beir': '', 'llamaindex': '.json'}
KEEPS = dict.fromkeys(('qa-jsonl', 'csv', 'parquet'), {'id', 'answer', 'answer_start', 'title', 'source'}) | {
    'korquad-1.0': {'id', 'answer', 'answer_start', 'title'}, 'flagembedding': set(), 'beir': {'id'}, 'llamaindex': {'id'}}

words = st.text(st.sampled_from('한글은 세종이, "만들었다".\n다\t|;1'), min_size=1, max_size=40).filter(str.strip)

@st.composite
def tables(draw):
    "Lines of questions and answers on passages, as a user may have them."
    rows = []
    for i, (question, context, title) in enumerate(draw(st.lists(st.tuples(words, words, st.sampled_from(['한강', '한글', '차, "차"'])), min_size=1, max_size=6,
                                                             unique_by=lambda t: (t[0].strip(), t[1])))):
        start = draw(st.integers(0, len(context) - 1)); end = draw(st.integers(start + 1, len(context)))
        answer = draw(st.sampled_from([context[start:end], ''])) if i else context
        rows.append(dict(id=f'{i}', question=question, answer=answer, context=context, title=title) | (dict(answer_start=start if i else 0) if answer else {}))
    return rows

@quick
@given(tables())
def test_what_a_form_can_hold_comes_back_and_the_rest_is_counted(rows):
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        (tmp/'in.json').write_text(json.dumps(rows, ensure_ascii=False), encoding='utf-8')
        qa = read_qa(tmp/'in.json')
        for to, keeps in KEEPS.items():
            out = tmp/f'{to}{ENDS[to]}'
            lost = convert(tmp/'in.json', to, out)['lost']
            back = read_qa(out)
            key = lambda r: (r['question'], r['context'])
            before, after = sorted(qa, key=key), sorted(back, key=key)
            if to == 'korquad-1.0': before = [r for r in before if r['answer']]
            assert [key(r) for r in before] == [key(r) for r in after], to
            assert lost.get('row', 0) == len(qa) - len(before)
            for c in keeps: assert [r[c] for r in before] == [r[c] for r in after] and c not in lost, (to, c)
            for c in {'id', 'title'} - keeps: assert lost.get(c, 0) == sum(a[c] != b[c] for a, b in zip(before, after)), (to, c)

def test_any_to_any(tmp_path):
    (tmp_path/'in.csv').write_text('id,question,answer,context,title,negative\n1,누가 만들었나?,세종,한글은 세종이 만들었다.,한글,한강은 서울을 지난다.\n'
                                   '2,어디를 지나나?,서울,한강은 서울을 지난다.,한강,\n', encoding='utf-8')
    for first in TARGETS:
        convert(tmp_path/'in.csv', first, tmp_path/f'{first}{ENDS[first]}')
        for second in TARGETS:
            out = tmp_path/f'{first}-{second}{ENDS[second]}'
            if second == 'korquad-1.0' and first in ('flagembedding', 'beir', 'llamaindex'):
                with pytest.raises(InputError, match='no row has an answer'): convert(tmp_path/f'{first}{ENDS[first]}', second, out)
                assert not out.exists(); continue
            made = convert(tmp_path/f'{first}{ENDS[first]}', second, out)
            assert made['rows'] == 2 and 'row' not in made['lost'] and not made['rejected'], (first, second, made)
            assert sorted(read_qa(out)['question']) == ['누가 만들었나?', '어디를 지나나?']
    told = json.loads((tmp_path/'flagembedding.jsonl').read_text(encoding='utf-8').splitlines()[0])
    assert told == dict(query='누가 만들었나?', pos=['한글은 세종이 만들었다.'], neg=['한강은 서울을 지난다.'])
    assert read_qa(tmp_path/'flagembedding-csv.csv')[0]['negatives'] == ['한강은 서울을 지난다.']

def test_a_cell_holds_one_negative_and_the_second_is_counted(tmp_path):
    (tmp_path/'in.jsonl').write_text('{"query": "차는?", "pos": ["덖는다.", "찐다."], "neg": ["볶는다.", "굽는다."]}\n{"query": "커피는?", "pos": ["볶는다."], "neg": []}\n', encoding='utf-8')
    assert convert(tmp_path/'in.jsonl', 'csv', tmp_path/'out.csv')['lost'] == dict(negatives=2)
    with open(tmp_path/'out.csv', encoding='utf-8-sig', newline='') as f: assert [r['negative'] for r in csv.DictReader(f)] == ['볶는다.', '볶는다.', '']
    assert convert(tmp_path/'in.jsonl', 'flagembedding', tmp_path/'again.jsonl')['lost'] == {}
    assert (tmp_path/'again.jsonl').read_text(encoding='utf-8') == (tmp_path/'in.jsonl').read_text(encoding='utf-8')

def test_a_broken_line_is_counted_and_nothing_of_mine_is_written_over(tmp_path):
    (tmp_path/'in.jsonl').write_text('{"question": "누가?", "answer": "세종"}\n{"question":\n', encoding='utf-8')
    assert convert(tmp_path/'in.jsonl', 'parquet', tmp_path/'out.parquet')['rejected'] == {'line is not JSON': 1}
    (tmp_path/'mine').mkdir(); (tmp_path/'mine'/'글.txt').write_text('나의 글', encoding='utf-8')
    for to, out in (('beir', 'mine'), ('qa-jsonl', 'in.jsonl')):
        with pytest.raises(InputError, match='exists'): convert(tmp_path/'in.jsonl', to, tmp_path/out)
    assert (tmp_path/'mine'/'글.txt').is_file() and not list(tmp_path.glob('.korembed*'))

def test_documents_of_one_question_come_in_the_same_order_every_time(tmp_path):
    (tmp_path/'corpus.jsonl').write_text(''.join(json.dumps(dict(_id=f'd{n}', text=f'{n}번 글')) + '\n' for n in range(9)), encoding='utf-8')
    (tmp_path/'queries.jsonl').write_text('{"_id": "q", "text": "어느 글?"}\n', encoding='utf-8')
    (tmp_path/'qrels').mkdir(); (tmp_path/'qrels'/'test.tsv').write_text('a\tb\tc\n' + ''.join(f'q\td{n}\t1\n' for n in range(9)), encoding='utf-8')
    assert read_qa(tmp_path)['context'] == [f'{n}번 글' for n in range(9)]
    assert convert(tmp_path, 'llamaindex', tmp_path.parent/f'{tmp_path.name}.json')['lost'] == {}

def test_real_korquad_comes_back(korquad, tmp_path):
    qa = read_qa(korquad)
    for to in ('korquad-1.0', 'csv', 'parquet'):
        made = convert(korquad, to, tmp_path/f'out{ENDS[to]}')
        assert made['rows'] == 4523 and not made['lost'], made   # two answers begin or end with a blank
        back = read_qa(tmp_path/f'out{ENDS[to]}')
        assert back.remove_columns('source')[:] == qa.remove_columns('source')[:]
