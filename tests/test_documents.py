"Documents that are damaged, hostile or not what they are called."
import io, json, logging, os, random, time, unicodedata, zipfile
import pytest
from korembed.data import read_qa
from korembed.documents import document_kind, read_document, read_documents
from korembed.indexing import chunk_documents, each_document
from korembed.text import InputError, chunk_text, html_to_text

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
