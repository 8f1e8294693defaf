"What the project promises about its own data (data/README.md)."
import json, re
from collections import Counter
from statistics import mean, median
import pytest
from korembed.data import read_qa, sample_path, split
from korembed.evaluation import score_runs
from korembed.data import retrieval_set
from korembed.lexical import char_bigrams, overlap
from korembed.retrieval import rank_bm25
from korembed.text import nfc

def load(name): return json.loads(sample_path(name).read_text(encoding='utf-8'))

@pytest.fixture(scope='module')
def articles(): return load('train/articles.json')['data']

@pytest.fixture(scope='module')
def questions(articles): return [q for a in articles for p in a['paragraphs'] for q in p['qas']]

def text_of(article): return '\n'.join(p['context'] for p in article['paragraphs'])

def test_enough_articles_of_enough_length_and_kind(articles):
    assert len(articles) >= 80
    assert median(len(text_of(a)) for a in articles) >= 400
    assert len({a['subject'] for a in articles}) >= 15
    assert all(a['source'].strip() for a in articles)

def test_enough_questions_of_enough_types(questions):
    assert len(questions) >= 400
    assert len({q['type'] for q in questions}) >= 8
    assert len({nfc(q['question']) for q in questions}) == len(questions)

@pytest.mark.parametrize('last', [1, 2])
def test_no_frame_is_used_over_and_over(questions, last):
    frames = Counter(' '.join(re.sub(r'[?.!~]', '', q['question']).split()[-last:]) for q in questions)
    assert frames.most_common(1)[0][1] <= .03 * len(questions), frames.most_common(3)

def near(a, b):
    "Share of the smaller text's bigrams that stand in the other."
    a, b = set(char_bigrams(a)), set(char_bigrams(b))
    return len(a & b) / min(len(a), len(b))

def test_no_near_duplicates(articles):
    texts = [text_of(a) for a in articles]
    worst = max((near(x, y), articles[i]['title'], articles[j]['title']) for i, x in enumerate(texts) for j, y in enumerate(texts[:i]))
    assert worst[0] < .35, worst

def test_every_answer_stands_where_it_is_said_to(articles):
    for a in articles:
        for p in a['paragraphs']:
            assert p['context'] == nfc(p['context'])
            for q in p['qas']:
                for x in q['answers']: assert p['context'][x['answer_start']:][:len(x['text'])] == x['text'], q['id']

def test_html_articles_hold_tables_and_lists():
    pages = load('train/html.json')['data']
    answers = [q['answer']['text'] for a in pages for q in a['qas']]
    assert len(pages) >= 12
    assert sum('<table' in x for x in answers) >= 3 and sum('<ul' in x or '<ol' in x for x in answers) >= 3
    for a in pages:
        for q in a['qas']: assert a['context'][q['answer']['answer_start']:][:len(q['answer']['text'])] == q['answer']['text'], q['id']
    bad = []
    assert len(read_qa(sample_path('train/html.json'), bad)) == len(answers) and not bad

# ---- the exam

@pytest.fixture(scope='module')
def exam(): return load('eval/solar_system.json')['data'][0]['paragraphs']

@pytest.fixture(scope='module')
def asked(exam): return [(q, p['context']) for p in exam for q in p['qas']]

def test_exam_is_long_and_labelled(exam, asked):
    text = sample_path('eval/solar_system.txt').read_text(encoding='utf-8')
    assert len(text) >= 20_000
    assert len(re.findall(r'^\d+(?:\.\d+)*\. \S', text, re.M)) >= 8   # headings
    assert len(asked) >= 80
    for q, context in asked:
        assert context in text and q['answers'][0]['text'] in context, q['id']
        assert q['kind'] in ('paraphrase', 'keyword')

# a paraphrase shares at most this share of its bigrams with its passage, and the mean of them at most the second number
PARAPHRASE_MOST, PARAPHRASE_MEAN = .35, .20

def test_half_of_the_exam_is_said_in_other_words(asked):
    shared = {kind: [overlap(q['question'], c) for q, c in asked if q['kind'] == kind] for kind in ('paraphrase', 'keyword')}
    assert len(shared['paraphrase']) >= len(asked) / 2
    assert max(shared['paraphrase']) <= PARAPHRASE_MOST
    assert mean(shared['paraphrase']) <= PARAPHRASE_MEAN < mean(shared['keyword'])

def test_bm25_finds_paraphrases_clearly_less_often(asked):
    qa = read_qa(sample_path('eval/solar_system.json'))
    rs = retrieval_set(qa)
    scores = score_runs(rs, dict(bm25=rank_bm25(rs.queries, rs.corpus)))['bm25']['recall@1']
    kinds = {q['id']: q['kind'] for q, _ in asked}
    by_kind = scores.groupby(kinds).mean()
    assert by_kind['paraphrase'] < by_kind['keyword'] - .3, by_kind.to_dict()

ASTRONOMY = '태양계 행성 소행성 혜성 위성의 공전 궤도 목성 토성 천왕성 해왕성 명왕성 수성 금성 화성 은하 천문 망원경 운석 탐사선'.split()

def test_training_does_not_touch_the_subject_of_the_exam(articles, exam):
    html = [a for a in load('train/html.json')['data']]
    for a in articles + html:
        body = a['title'] + (text_of(a) if 'paragraphs' in a else a['context'])
        met = [w for w in ASTRONOMY if re.search(rf'(?<![가-힣]){w}', body)]
        assert len(met) < 2, (a['title'], met)
    solar = ' '.join(p['context'] for p in exam)
    assert sum(w in solar for w in ASTRONOMY) > len(ASTRONOMY) / 2   # the list means what it should

def test_real_korquad_has_the_shape_we_write(korquad):
    rejects = []
    qa = read_qa(korquad, rejects)
    assert len(qa) == 4523 and len(set(qa['title'])) == 112
    assert {r['reason'] for r in rejects} == {'paragraph has no question'}
    parts = split(qa)
    assert not set(parts['train']['title']) & set(parts['validation']['title'])

def test_the_small_sets_are_what_the_table_says():
    from korembed.scored import read_scored, sentence_groups
    english = read_qa(sample_path('eval/english.jsonl'))
    assert len(set(english['question'])) == len(set(english['context'])) == 40 and all(t.isascii() for t in english['context'])
    pairs, left_out = read_scored(sample_path('train/sentences.tsv'))
    assert (len(pairs), left_out) == (46, 0) and {0., 1.} < set(pairs['score']) and len(set(sentence_groups(pairs))) > 15
