"Documents that are damaged, hostile or not what they are called."
import io, json, logging, os, random, time, unicodedata, zipfile
import pytest
from korembed.data import describe, read_qa
from korembed.documents import document_kind, read_document, read_documents
from korembed.indexing import chunk_documents, each_document
from korembed.synthesis import read_sources
from korembed.text import InputError, chunk_text, html_to_text, read_text

def archive(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in members.items(): z.writestr(name.replace('__', '/').replace('_DOT_', '.'), data)
    return buffer.getvalue()

def hwpx(section): return archive(Contents__content_DOT_hpf='<x/>', Contents__section0_DOT_xml=section)

PARA = '<s xmlns:p="p"><p:p><p:run><p:t>한글은 세종이 만들었다.</p:t></p:run></p:p></s>'
KINDS = dict(hwpx=hwpx(PARA), html='<p>한글은 <b>세종</b>이</p><table><tr><td>가<td>나</table>'.encode(), text='한글은 세종이 만들었다.\n'.encode(),
             tei='<TEI><text><body><div><head>글</head><p>한글</p></div></body></text></TEI>'.encode(),
             scrape=json.dumps(dict(title='글', content='한글', subsections=[dict(title='가', content='나')])).encode())

@pytest.fixture(scope='module')
def pdf():
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure
    buffer = io.BytesIO()
    with PdfPages(buffer) as out:
        fig = Figure(figsize=(3, 2)); fig.text(.1, .5, 'Hangul 1446'); out.savefig(fig)
    return buffer.getvalue()

@pytest.mark.parametrize('kind', [*KINDS, 'pdf'])
def test_damage_is_text_or_one_line(kind, pdf, tmp_path):
    whole, rng = KINDS.get(kind) or pdf, random.Random(0)
    assert document_kind(whole) == kind
    for n in range(60):
        cut = rng.randrange(len(whole))
        data = whole[:cut] if n % 2 else whole[:cut] + rng.randbytes(5) + whole[cut + 5:]
        (tmp_path/'f').write_bytes(data)
        try: assert read_document(tmp_path/'f').strip()
        except InputError as e: assert '\n' not in str(e) and str(tmp_path) in str(e)

@pytest.mark.parametrize('text', ['한글은 세종이', '# 한글\n글자', '<p>한글은 세종이</p>'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'cp949', 'nfd'])
def test_encodings_and_wrong_names(text, encoding, tmp_path):
    data = unicodedata.normalize('NFD', text).encode() if encoding == 'nfd' else text.encode(encoding)
    (tmp_path/'f.pdf').write_bytes(data)
    said = read_document(tmp_path/'f.pdf')
    assert '한글' in said and ('<p>' not in said or encoding == 'utf-16')

def test_bombs_are_refused(tmp_path):
    (tmp_path/'bomb.hwpx').write_bytes(hwpx(b'<s>' + b' ' * 300_000_000))
    began = time.time()
    with pytest.raises(InputError, match='no honest document'): read_document(tmp_path/'bomb.hwpx')
    laughs = '<!DOCTYPE s [<!ENTITY a "haha">' + ''.join(f'<!ENTITY {c} "{f"&{p};" * 40}">' for p, c in zip('abcdefg', 'bcdefgh')) + ']><s>&h;</s>'
    (tmp_path/'laughs.hwpx').write_bytes(hwpx(laughs))
    with pytest.raises(InputError, match='damaged XML'): read_document(tmp_path/'laughs.hwpx')
    (tmp_path/'file.hwpx').write_bytes(hwpx('<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><s><p>&x;</p></s>'))
    with pytest.raises(InputError): read_document(tmp_path/'file.hwpx')
    assert time.time() - began < 10

N = 200_000
BOMBS = dict(nested='<div>' * N, reopened=''.join(f'<b id=x{i}><p>' for i in range(N // 20)),
             attributes='<p ' + ' '.join(f'a{i}=1' for i in range(N)) + '>')

@pytest.mark.parametrize('bomb', BOMBS)
def test_bombs_of_html_are_read_in_seconds(bomb):
    "Each took a minute or more; the text behind it is not lost, nor the place of an answer in it."
    page, began = BOMBS[bomb] + '한강은 <b>황해</b>로 흐른다', time.process_time()
    at = page.index('황해')
    text, [span] = html_to_text(page, [(at, at + 2)])
    assert text[slice(*span)] == '황해' and text.endswith('한강은 황해로 흐른다') and time.process_time() - began < 20

@pytest.mark.parametrize('unit', ['가', '가\n', '한글은 “세종이 만들었다. '])
def test_a_million_characters_without_a_good_place_to_cut(unit):
    text, began = (unit * 1_000_000)[:1_000_000], time.process_time()
    chunks = chunk_text(text, 512, 50)
    assert time.process_time() - began < 10 and max(len(c.text) for c in chunks) <= 512
    assert chunks[0].start == 0 and chunks[-1].end == len(text) and all(a.end >= b.start for a, b in zip(chunks, chunks[1:]))
    assert all(c.text == text[c.start:c.end] for c in chunks[::97])

HALVES = dict(scrape={'title': '글\ud800', 'content': '한글은 세종이\ud83d 만들었다.'},
              qa={'question': '누가\udc00?', 'answer': '세종', 'context': '한글은 \ud83d세종이 만들었다.', 'title': '글\ud800'})

@pytest.mark.parametrize('kind', HALVES)
def test_halves_of_characters_are_replaced_and_counted(kind, tmp_path, caplog):
    (tmp_path/'글.json').write_text(json.dumps(HALVES[kind]), encoding='utf-8')
    with caplog.at_level(logging.WARNING, 'korembed'): docs = dict(each_document(tmp_path/'글.json'))
    lost = 2 if kind == 'scrape' else 3
    assert f'글.json: {lost} halves of characters replaced' in caplog.text and '\ufffd' in ''.join(docs.values())
    chunks = chunk_documents(docs)
    assert len(chunks) == 1 and chunks.to_json().encode() and len(chunks['text'][0]) == chunks['end'][0]
    if kind == 'qa': assert (row := read_qa(tmp_path/'글.json')[0])['context'][row['answer_start']:].startswith('세종')

def test_halves_in_texts_that_are_handed_over():
    chunks = chunk_documents({'글\ud800': '한글은 세종이 만들었다. \ud83d' * 50}, 100, 20)
    assert ''.join(chunks['text']).encode() and chunks['source'][0] == '글\ufffd' and chunks['text'].str.contains('\ufffd').any()

def test_archives_of_something_else(tmp_path):
    (tmp_path/'a.docx').write_bytes(archive(x='y'))
    with pytest.raises(InputError, match='unpack it'): read_document(tmp_path/'a.docx')
    (tmp_path/'b.docx').write_bytes(archive(word__document_DOT_xml='<x/>'))
    with pytest.raises(InputError, match='b.docx'): read_document(tmp_path/'b.docx')

def test_a_deep_tree_and_a_large_text(tmp_path):
    tree = dict(title='끝', content='글')
    for _ in range(300): tree = dict(title='가', content='나', subsections=[tree])
    (tmp_path/'tree.json').write_text(json.dumps(tree), encoding='utf-8')
    assert read_document(tmp_path/'tree.json').count('# 가') == 100
    (tmp_path/'large.txt').write_text('한글은 세종이 만들었다. 1446년에 반포하였다.\n' * 300_000, encoding='utf-8')
    began = time.time()
    assert len(read_document(tmp_path/'large.txt')) > 8_000_000 and time.time() - began < 60

def test_a_folder_of_nothing(tmp_path):
    (tmp_path/'그림.png').write_bytes(b'\x89PNG\0\0')
    with pytest.raises(InputError, match='nothing to index'): read_documents(tmp_path)

@pytest.mark.parametrize('text', ['[공지] 서버 점검\n\n토요일에 멈춥니다.', '[홈](index.md)\n\n# 제목', '{주의} 뜨겁습니다.', '["가"]\n한글은 세종이 만들었다.'])
@pytest.mark.parametrize('name', ['글.txt', '글.md', '글.MARKDOWN', '글.html', '글'])
def test_a_text_may_begin_with_a_bracket(text, name, tmp_path):
    (tmp_path/name).write_text(text, encoding='utf-8')
    for docs in (each_document(tmp_path), each_document(tmp_path/name)): assert dict(docs) == {name: text}

def test_what_is_called_json_or_is_some_is_not_taken_for_text(tmp_path):
    (tmp_path/'a.json').write_text('[공지]', encoding='utf-8')
    with pytest.raises(InputError, match='not valid JSON'): dict(each_document(tmp_path/'a.json'))
    line = json.dumps(dict(question='누가 만들었나?', answer='세종', context='한글은 세종이 만들었다.'), ensure_ascii=False) + '\n'
    (tmp_path/'b.txt').write_text(line * 2, encoding='utf-8')
    assert list(dict(each_document(tmp_path/'b.txt')).values()) == ['한글은 세종이 만들었다.']

FAQ = '질문;답변;분류\n휴가는 며칠인가요?;입사 첫해에는 11일입니다.;인사\n주차는 되나요?;지하 2층에 됩니다.;총무\n'

@pytest.mark.parametrize('text, encoding', [(FAQ, 'utf-8'), (FAQ, 'cp949'), (FAQ, 'utf-16'), (FAQ.replace(';', ','), 'utf-8-sig'), (FAQ.replace(';', '\t'), 'utf-8'),
                                            (FAQ.replace('질문', 'Question').replace('답변', 'answer'), 'utf-8')])
def test_a_table_of_questions_is_its_passages_or_answers(text, encoding, tmp_path):
    (tmp_path/'faq.csv').write_bytes(text.encode(encoding))
    assert list(dict(each_document(tmp_path)).values()) == ['입사 첫해에는 11일입니다.', '지하 2층에 됩니다.']
    sources, left_out = read_sources(tmp_path)
    assert list(sources.values()) == ['입사 첫해에는 11일입니다.', '지하 2층에 됩니다.'] and not left_out

def test_a_table_with_passages_gives_these_and_any_other_table_is_text(tmp_path):
    (tmp_path/'qa.tsv').write_text('question\tanswer\tcontext\n누가?\t세종\t한글은 세종이 만들었다.\n', encoding='utf-8')
    assert list(dict(each_document(tmp_path)).values()) == ['한글은 세종이 만들었다.']
    for n, table in enumerate(['지점,전화\n강남,02-1\n', '질문,분류\n며칠?,인사\n', 'sentence1,sentence2,score\n가,나,0\n']):
        (tmp_path/f'{n}.csv').write_text(table, encoding='utf-8')
        assert dict(each_document(tmp_path/f'{n}.csv')) == {f'{n}.csv': table.strip()}

OLE = b'\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1' + bytes(500)
named = lambda name: OLE + name.encode('utf-16-le') + bytes(20)
OFFICE = {'a.xlsx': (archive(xl__workbook_DOT_xml='<x/>'), 'an Excel workbook; save it as CSV'), 'a.xls': (named('Workbook'), 'an Excel workbook; save it as CSV'),
          'a.pptx': (archive(ppt__presentation_DOT_xml='<x/>'), 'save it as PDF'), 'a.ppt': (named('PowerPoint Document'), 'save it as PDF'),
          'a.doc': (named('WordDocument') + named('Workbook'), 'save it as DOCX'), 'a.hwp': (named('HwpSummaryInformation') + named('WordDocument'), 'save it as HWPX'),
          'b.xlsx': (named('EncryptedPackage'), 'locked with a password')}

@pytest.mark.parametrize('name', OFFICE)
def test_a_file_of_an_office_program_is_refused_in_the_same_words_everywhere(name, tmp_path):
    data, remedy = OFFICE[name]
    (tmp_path/name).write_bytes(data)
    for read in (read_document, read_qa, describe, read_documents, lambda p: dict(each_document(p)), read_text):
        with pytest.raises(InputError, match=remedy) as e: read(tmp_path/name)
        assert str(e.value).count(name) == 1, read

# ---- documents where data is wanted

@pytest.mark.parametrize('name, data', [('글.md', '# 휴가 규정\n\n휴가는 11일이다.'), ('글.md', '# 휴가, 병가\n'), ('글.md', '[공지] 점검'), ('글.txt', '휴가는 11일이다.\n병가는 다르다.'), ('글.html', '<p>휴가</p>'),
                                        ('글.hwpx', KINDS['hwpx']), ('글.pdf', b'%PDF-1.7\n\xff\xfe\xfd')])
def test_a_document_has_no_questions(name, data, tmp_path):
    (tmp_path/name).write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(InputError, match=f'{name}: no questions in it; korembed generate writes some, korembed index searches it'): read_qa(tmp_path/name)

def test_data_among_documents_says_how_much_is_read(tmp_path, caplog):
    (tmp_path/'faq.csv').write_text('질문,답변\n며칠?,11일\n', encoding='utf-8')
    (tmp_path/'b').mkdir()
    with caplog.at_level(logging.INFO, 'korembed'): read_qa(tmp_path)
    assert not caplog.text
    for n in range(11): (tmp_path/f'{n}.md').write_text('# 휴가', encoding='utf-8')
    with caplog.at_level(logging.INFO, 'korembed'): read_qa(tmp_path)
    assert '1 of 12 files holds questions; the others were not read' in caplog.text

def test_links_and_what_may_not_be_read(tmp_path, caplog, monkeypatch):
    (tmp_path/'가.txt').write_text('강은 흐른다.', encoding='utf-8'); (tmp_path/'나.txt').write_text('산은 높다.', encoding='utf-8')
    (tmp_path/'다.txt').symlink_to(tmp_path/'가.txt'); (tmp_path/'라.txt').symlink_to(tmp_path/'없다.txt')
    assert list(read_documents(tmp_path)) == ['가.txt', '나.txt']
    assert '다.txt: read already' in caplog.text and '라.txt: a link to nothing' in caplog.text
    def closed(path, *a, **kw): raise PermissionError(13, 'Permission denied', str(path))
    monkeypatch.setattr('korembed.documents.read_document', lambda path: closed(path) if path.name == '나.txt' else '글')
    assert list(read_documents(tmp_path)) == ['가.txt'] and '나.txt: may not be read; change its rights' in caplog.text
    with pytest.raises(InputError, match='may not be read'): read_documents(tmp_path/'나.txt')
