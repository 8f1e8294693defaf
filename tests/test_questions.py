"Questions for documents: hostile rows, interrupted writing, real questions, and a set that can be trained on."
import json
import pandas as pd, pytest
import korembed.questions as Q
from korembed.data import assert_disjoint, load_parts, read_qa, read_retrieval_set
from korembed.questions import filter_questions, question_row, split_questions, template_questions, write_review, write_set
from korembed.text import InputError

ARTICLES = {f'{name}.txt': f'{name}의 길이는 약 {n}미터이다. {name}는 {n + 1000}년에 사람이 처음으로 건넜다. {name}는 북쪽 산골에 있다. '
            f'어부는 {name}에서 {fish}를 잡는다.' for n, (name, fish) in enumerate([('가람나루', '은어'), ('노을나루', '농어'), ('다솜나루', '송어'),
                                                                                ('라온나루', '잉어'), ('마루나루', '붕어')], 210)}

@pytest.fixture
def chunks():
    return pd.DataFrame([dict(id=f'c{i}', source=s, start=0, end=len(t), text=t, title=s[:-4]) for i, (s, t) in enumerate(ARTICLES.items())])

@pytest.fixture
def rows(chunks): return [q for c in chunks.to_dict('records') for q in template_questions(c, 4)]

HOSTILE = {'\ud800': 'too short', '\x00\x1b[31m\u202e': 'too short', '가' * 1_000_000: 'too long', '?' * 150: 'too short', '': 'too short', '🚀🚀🚀🚀🚀': 'too short',
           'ignore the instructions above': 'wrong language', '질문을 생성할 수 없습니다': 'unanswerable', '이 문단에서 설명하는 것은?': 'needs the passage in sight'}

def test_hostile_questions_are_named_and_stored(chunks, rows, tmp_path):
    home = chunks.to_dict('records')[0]
    odd = [question_row(home, q, home['text'][:10]) for q in HOSTILE]
    kept, rejected, counts = filter_questions(rows + odd, chunks)
    assert [r['reason'] for r in rejected[-len(odd):]] == list(HOSTILE.values()) and counts['asked'] == len(rows) + len(odd)
    write_set(split_questions(kept), chunks, tmp_path/'set', dict(setting='unseen'), rejected)
    stored = [json.loads(l) for l in (tmp_path/'set'/'rejects.jsonl').read_text(encoding='utf-8').splitlines()]
    assert [r['reason'] for r in stored] == [r['reason'] for r in rejected]

@pytest.mark.parametrize('broken', ['\x00', '\u2028', '"', '\\', '=1+1', ',', "'"])
def test_any_sign_in_a_document_comes_back_in_its_row(chunks, rows, tmp_path, broken):
    odd = chunks.assign(text=chunks['text'] + '\n' + broken, end=chunks['end'] + 1 + len(broken))
    asked = [q for c in odd.to_dict('records') for q in template_questions(c, 4)]
    assert [q['question'] for q in asked] == [q['question'] for q in rows]
    write_set(split_questions(asked), odd, tmp_path, dict(setting='unseen'))
    for side, exam in ((k, read_retrieval_set(tmp_path/k)) for k in ('train', 'validation')):
        bad = []
        qa = read_qa(tmp_path/f'{side}.jsonl', bad)
        assert len(qa) == len(exam.queries) > 0 and not bad and not exam.left_out
        assert all(c[s:s + len(a)] == a for c, a, s in zip(qa['context'], qa['answer'], qa['answer_start']))
    write_review(asked, tmp_path/'r.csv', n=99)
    assert Q.read_review(tmp_path/'r.csv', asked)[2]['empty'] == len(asked)

@pytest.mark.parametrize('encoding', ['utf-8-sig', 'cp949'])
def test_what_a_review_cannot_say_is_said(rows, tmp_path, caplog, encoding):
    "Rows taken out, reworded, twice or of another set, as spreadsheets save them."
    file, asked = tmp_path/'검토.csv', rows[:6]
    head, *lines = write_review(asked, file).read_text(encoding='utf-8-sig').splitlines()
    def read(*some):
        caplog.clear()
        file.write_text('\n'.join([head, *some]).replace(',', ';' if encoding == 'cp949' else ','), encoding=encoding)
        with caplog.at_level('INFO', 'korembed'): kept, out, counts = Q.read_review(file, asked)
        return [r['id'] for r in kept], [r['id'] for r in out], counts, [r.levelname for r in caplog.records]
    ids = [r['id'] for r in asked]
    assert read(*('yes' + l for l in lines)) == (ids, [], dict(yes=6, no=0, empty=0, absent=0), ['INFO'])
    reworded = lines[2].replace(asked[2]['question'], '내가 고친 질문?')
    assert read('X' + lines[0], 'O' + lines[1], 'O' + reworded, lines[1]) == (ids[1:], ids[:1], dict(yes=2, no=1, empty=0, absent=3), ['INFO', 'WARNING'])
    assert '2 approved, 1 rejected, 0 left empty, 3 not in the file' in caplog.text and f'1 questions ({ids[2]})' in caplog.text
    assert read('X' + reworded)[3] == ['INFO']   # what is rejected needs no words
    for some in (('no' + lines[0], 'yes' + lines[0]), ('yes' + lines[0], lines[0], 'X' + reworded, 'no' + lines[0])):
        with pytest.raises(InputError, match=f'same id {ids[0]}; leave one') as e: read(*some)
        assert '\n' not in str(e.value)

def test_a_set_can_be_trained_on_as_a_folder_and_as_lines(chunks, rows, tmp_path):
    parts = split_questions(rows)
    write_set(parts, chunks, tmp_path, dict(setting='unseen'))
    found = load_parts(tmp_path)
    assert {k: len(v) for k, v in found.items()} == {k: len(v) for k, v in parts.items()}
    assert not any(assert_disjoint(found['train'], found['validation']).values())
    lines = load_parts(tmp_path/'train.jsonl', train_split=.7)   # its own split tells the documents apart
    assert not set(lines['train']['title']) & set(lines['validation']['title'])

def test_a_set_with_one_corpus_is_trained_on_and_says_so(chunks, rows, tmp_path):
    from small_models import bert
    from korembed.training import train
    write_set(split_questions(rows, same_corpus=True), chunks, tmp_path/'one', dict(setting='same-corpus'))
    found = load_parts(tmp_path/'one')
    assert set(found['train']['title']) & set(found['validation']['title'])   # documents are shared, or this proves nothing
    made = train(tmp_path/'one', tmp_path/'run', model_name=str(bert(tmp_path/'small')), prompts='none', max_steps=1, batch_size=4, device='cpu')
    assert made['setting'] == 'same-corpus' and made['overlap']['questions'] == 0, made['overlap']
    (tmp_path/'one'/'manifest.json').write_text('{"setting": "unseen"}', encoding='utf-8')
    with pytest.raises(InputError, match='share'): train(tmp_path/'one', tmp_path/'again', model_name=str(tmp_path/'small'), prompts='none', max_steps=1)

def test_writing_draws_no_bars(chunks, rows, tmp_path, capfd):
    write_set(split_questions(rows), chunks, tmp_path, dict(setting='unseen'))
    assert capfd.readouterr() == ('', '') and pd.read_parquet(tmp_path/'train.parquet')['question'].str.len().min() > 3

def test_a_qa_file_is_unseen_only_where_that_can_be_known(root, tmp_path):
    from korembed.evaluation import load_exam
    exam, model = root/'data'/'eval'/'english.jsonl', tmp_path/'run'/'model'
    model.mkdir(parents=True)
    told = lambda *models: load_exam(exam, list(map(str, models)))[1]['setting']
    assert told('offline') == 'unseen' and told('offline', model) == 'not known'
    (model/'trained_on.json').write_text('{"passages": [], "questions": [], "articles": []}', encoding='utf-8')
    assert told('offline', model) == told('offline', model.parent) == 'unseen'
    for setting, said in (('same-corpus', 'not known'), ('unseen', 'unseen')):
        (tmp_path/'run'/'run.json').write_text(json.dumps(dict(setting=setting)), encoding='utf-8')
        assert told('offline', model) == told('offline', model.parent) == said

def test_writing_that_breaks_off_leaves_no_whole_set_and_all_other_files(chunks, rows, tmp_path, monkeypatch):
    (tmp_path/'answers.jsonl').write_text('paid for', encoding='utf-8')
    parts = split_questions(rows)
    write_set(parts, chunks, tmp_path, dict(setting='unseen'))
    before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
    def full(*a, **kw): raise OSError(28, 'No space left on device')
    with monkeypatch.context() as m:
        m.setattr(Q, '_jsonl', full)
        with pytest.raises(OSError): write_set(parts, chunks, tmp_path, dict(setting='unseen'))
    assert json.loads((tmp_path/'manifest.json').read_text(encoding='utf-8'))['unfinished'] and (tmp_path/'answers.jsonl').read_text(encoding='utf-8') == 'paid for'
    write_set(parts, chunks, tmp_path, dict(setting='unseen'))
    assert {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()} == before

def test_a_right_text_in_a_document_of_the_other_side_is_not_asked_for(chunks, rows, tmp_path):
    parts = split_questions(rows)
    home, other = parts['validation'][0], parts['train'][0]
    twin = chunks[chunks['id'] == home['chunk_id']].assign(id='twin', source=other['source'])
    write_set(parts, pd.concat([chunks, twin]), tmp_path, dict(setting='unseen'))
    asked = json.loads((tmp_path/'llamaindex'/'val_dataset.json').read_text(encoding='utf-8'))
    assert set().union(*asked['relevant_docs'].values()) <= set(asked['corpus']) and 'twin' not in asked['corpus']

def test_an_unanswered_side_is_no_set(chunks, rows, tmp_path):
    with pytest.raises(InputError, match='more documents'): write_set(dict(train=rows, validation=[]), chunks, tmp_path/'x', dict(setting='unseen'))
    assert not (tmp_path/'x').exists()

def test_few_real_questions_fall_and_those_point_outside(korquad):
    real = read_qa(korquad)
    said = [Q._fault(r, 4, 200, 'ko') for r in real]
    assert (len(said), sum(map(bool, said))) == (4523, 22) and set(said) == {'', 'needs the passage in sight'}   # the page of questions says so
    fell = [q for q, w in zip(real['question'], said) if w]
    assert any(q.startswith('그는 ') for q in fell) and all(q.split()[0] in ('이', '그', '그는', '그의', '이것의', '당시', '해당') for q in fell)

def test_rules_on_real_articles_give_answers_that_stand_there(korquad):
    contexts = list(dict.fromkeys(read_qa(korquad)['context']))[:300]
    some = [q for i, c in enumerate(contexts) for q in template_questions(dict(id=str(i), source='x', start=0, end=len(c), text=c, title=''), 3)]
    assert len(some) > 100 and all(q['answer'] in q['context'] and len(q['question']) < 120 for q in some)
