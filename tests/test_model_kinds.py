"LoRA on every kind of model that is tuned in earnest: encoders and decoders, small and random."
import json, shutil
import numpy as np, pytest, torch
from datasets import Dataset
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from small_models import INSTRUCTION, KINDS, bert, minilm, qwen3, xlmr
from korembed import model
from korembed.text import InputError

pytestmark = pytest.mark.filterwarnings('ignore')
ENCODER = ['dense', 'key', 'query', 'value']
DECODER = ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj']
QUESTIONS = ['수성은 무엇인가?', '금성은 왜 뜨거운가?', '지구에 물이 있나?', '화성은 왜 붉은가?']
PASSAGES = ['수성은 태양에 가장 가까운 행성이다.', '금성은 두꺼운 대기 때문에 뜨겁다.', '지구에는 바다가 있다.', '화성의 흙에는 산화철이 많다.']
TEXTS = ['목성은 태양계에서 가장 큰 행성이다. ' * 4, '달', 'Saturn has rings.', *QUESTIONS]   # long and short ones: padding shows

@pytest.fixture(scope='module', params=KINDS)
def kind(request, tmp_path_factory): return request.param, str(KINDS[request.param](tmp_path_factory.mktemp(request.param)/'base'))

def fit(m, folder, **arguments):
    "Two steps of the trainer; the mean loss."
    args = SentenceTransformerTrainingArguments(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=4, learning_rate=1e-2, warmup_steps=0, use_cpu=True,
        save_strategy='no', report_to='none', disable_tqdm=True,
        prompts={'anchor': m.prompts['query'], 'positive': m.prompts['passage']}, **arguments)
    m.model_card_data.widget = [{}]
    trainer = SentenceTransformerTrainer(model=m, args=args, loss=MultipleNegativesRankingLoss(m),
                                         train_dataset=Dataset.from_dict(dict(anchor=QUESTIONS, positive=PASSAGES)))
    loss = trainer.train().training_loss
    trainer.accelerator.unwrap_model(m, keep_fp32_wrapper=False)
    m.eval()
    return loss

def adapted(base, r=4, **options):
    torch.manual_seed(0)
    return model.add_lora(model.load_model(base, device='cpu'), r, **options)

def as_trained(m):
    "Move the adapter as a training would."
    for n, p in m.named_parameters():
        if 'lora_B' in n or 'trainable_tokens' in n: p.data += torch.empty_like(p).normal_(0, .05)
    return m

def untrained(m):
    "Layers whose B has not moved."
    return [n for n, l in m.named_modules() if isinstance(l, LoraLayer) and any(not w.weight.any() for w in l.lora_B.values())]

def gap(a, b):
    "Largest difference of two models in what they say of questions and of passages."
    return max(np.abs(getattr(a, f)(TEXTS, normalize_embeddings=True) - getattr(b, f)(TEXTS, normalize_embeddings=True)).max()
               for f in ('encode_query', 'encode_document'))

def test_an_adapter_trains_and_the_saved_model_says_the_same(kind, tmp_path):
    name, base = kind
    m = adapted(base)
    assert model.linear_targets(m) == (DECODER if name == 'qwen3' else ENCODER)
    assert sum(isinstance(l, LoraLayer) for l in m.modules()) == (14 if name == 'qwen3' else 12)   # two blocks
    assert len(untrained(m)) == sum(isinstance(l, LoraLayer) for l in m.modules())
    fit(m, tmp_path/'fit')
    assert not untrained(m)
    returned = model.save_model(m, tmp_path/'saved', base)
    plain = SentenceTransformer(str(tmp_path/'saved'), device='cpu')
    assert gap(plain, m) < 1e-5 and gap(returned, m) < 1e-5 and gap(plain, model.load_model(base, device='cpu')) > 1e-3
    assert plain.max_seq_length == m.max_seq_length and plain.prompts == m.prompts
    assert not any('lora' in n or 'base_layer' in n for n in plain.state_dict())

@pytest.mark.parametrize('arguments', [{}, dict(gradient_checkpointing_kwargs=dict(use_reentrant=True)), dict(bf16=True)],
                         ids=['default', 'reentrant', 'bf16'])
def test_checkpointing_trains_the_same(kind, tmp_path, arguments):
    "If this fails with a new transformers: call enable_input_require_grads() before training."
    losses, calls = [], []
    for on in (False, True):
        m, seen = adapted(kind[1]), []
        next(l for l in m.modules() if isinstance(l, LoraLayer)).register_forward_hook(lambda *a: seen.append(1))
        options = arguments if on else {k: v for k, v in arguments.items() if k == 'bf16'}
        losses.append(fit(m, tmp_path/'fit', gradient_checkpointing=on, **options))
        assert not untrained(m)
        calls.append(len(seen))
    assert calls[1] == 2 * calls[0] and abs(losses[0] - losses[1]) < 1e-5   # computed twice, so it was on
    model.save_model(m, tmp_path/'saved', kind[1])   # which checks that it encodes as before

def test_trained_tokens_are_merged_exactly_and_saved(kind, tmp_path):
    name, base = kind
    ids = model.tokens_of(model.load_model(base, device='cpu'), QUESTIONS + PASSAGES)
    m = adapted(base, token_indices=ids)
    before = model._rows(m).clone()
    fit(m, tmp_path/'fit', gradient_checkpointing=True)
    assert not untrained(m)
    assert (model._rows(m) - before).abs().amax(dim=1).nonzero().flatten().tolist() == ids
    model.save_model(m, tmp_path/'saved', base)
    plain = SentenceTransformer(str(tmp_path/'saved'), device='cpu')
    assert gap(plain, m) < 1e-5 and torch.equal(model._rows(plain), model._rows(m))
    again, peft = model.load_model(base, device='cpu'), model.load_model(base, device='cpu')
    again.load_adapter(str(tmp_path/'saved'/'lora_weights'))
    assert gap(again, m) < 1e-6
    PeftModel.from_pretrained(peft.transformers_model, str(tmp_path/'saved'/'lora_weights'))   # puts it on in place
    assert gap(peft, m) < 1e-6

def test_tokens_that_hold_hangul_are_found(kind):
    m = model.load_model(kind[1], device='cpu')
    assert model.tokens_of(m, []) == model.tokens_of(m, ['Mercury 42!', '水星', '']) == []
    found = model.tokens_of(m, ['수성 Mercury 42'])
    read = m.tokenizer.convert_ids_to_tokens(found)
    assert found == sorted(set(found)) and found and all(type(i) is int for i in found)
    assert not set(found) & set(m.tokenizer('Mercury 42')['input_ids'])
    if kind[0] == 'qwen3':   # its pieces are bytes: together they give the text back
        whole = m.tokenizer('뷁수성', add_special_tokens=False)['input_ids']
        assert set(whole) == set(model.tokens_of(m, ['뷁수성'])) and m.tokenizer.decode(whole) == '뷁수성'
    elif kind[0] != 'minilm': assert '수성' in ''.join(read)

def test_a_tokenizer_without_offsets_is_named():
    class Slow: is_fast = False
    class Model: tokenizer = Slow()
    with pytest.raises(InputError, match='train without them'): model.tokens_of(Model(), ['수성'])

@pytest.mark.parametrize('side', ['left', 'right'])
def test_a_decoder_pools_its_last_token_wherever_it_pads(tmp_path, side):
    base = str(qwen3(tmp_path/'base', side))
    m = as_trained(adapted(base))
    model.save_model(m, tmp_path/'saved', base)
    plain, ours = SentenceTransformer(str(tmp_path/'saved'), device='cpu'), model.Embedder(str(tmp_path/'saved'), device='cpu')
    assert plain.tokenizer.padding_side == side
    alone = np.vstack([plain.encode_query([t], normalize_embeddings=True) for t in TEXTS])
    # the company of a longer text changes nothing
    assert np.abs(plain.encode_query(TEXTS, normalize_embeddings=True) - alone).max() < 1e-5
    assert np.abs(ours.encode_queries(TEXTS) - ours.encode_passages([INSTRUCTION + t for t in TEXTS])).max() < 1e-5
    assert np.abs(ours.encode_queries(TEXTS) - alone).max() < 1e-5 and np.abs(ours.encode_passages(TEXTS) - alone).max() > 1e-2

def test_a_base_in_half_precision_is_tuned_and_saved_in_full(tmp_path):
    base = str(qwen3(tmp_path/'base', dtype=torch.bfloat16))
    assert SentenceTransformer(base, device='cpu').dtype == torch.bfloat16
    m = as_trained(adapted(base))
    assert {p.dtype for p in m.parameters()} == {torch.float32}
    model.save_model(m, tmp_path/'saved', base)
    plain = SentenceTransformer(str(tmp_path/'saved'), device='cpu')
    assert plain.dtype == torch.float32 and gap(plain, m) < 1e-5

@pytest.fixture
def run(tmp_path):
    "A run folder with a tuned model in it, and its base."
    base = str(xlmr(tmp_path/'multilingual-e5-small'))
    ids = model.tokens_of(model.load_model(base, device='cpu'), TEXTS)
    m = as_trained(adapted(base, token_indices=ids))
    m.max_seq_length = 64
    papers = {'README.md': '# Card\n\nndcg 0.5\n', 'training_config.json': json.dumps(dict(model_name=base, lora_r=4)),
              'trained_on.json': '{"articles": ["a"]}'}
    model.save_model(m, tmp_path/'실행'/'model', base, papers)
    return m, tmp_path/'실행', tmp_path

def test_a_run_is_written_at_another_strength_with_all_its_papers(run):
    m, folder, home = run
    model.rescale(folder, .4, home/'out')
    plain = SentenceTransformer(str(home/'out'), device='cpu')
    with model._at_scale(m, .4): assert gap(plain, m) < 1e-5
    assert gap(plain, m) > 1e-3   # and the adapter is back at full strength
    assert plain.prompts == m.prompts and plain.prompts['query'] == 'query: ' and plain.max_seq_length == 64
    read = lambda name, where=home/'out': (where/name).read_text(encoding='utf-8')
    assert read('README.md').startswith('# Card\n\nndcg 0.5\n\nLoRA merged at scale 0.4 ')
    assert read('trained_on.json') == '{"articles": ["a"]}'
    assert json.loads(read('training_config.json')) == json.loads(read('training_config.json', folder/'model')) | dict(lora_scale=.4)
    for f in ('adapter_config.json', 'adapter_model.safetensors'):
        assert (home/'out'/'lora_weights'/f).read_bytes() == (folder/'model'/'lora_weights'/f).read_bytes()
    model.rescale(home/'out', .7, home/'more')   # from one already turned down
    assert read('README.md', home/'more').count('merged at scale') == 1 and 'scale 0.7' in read('README.md', home/'more')
    model.rescale(home/'more', 1, home/'full')
    assert gap(SentenceTransformer(str(home/'full'), device='cpu'), m) < 1e-5 and read('README.md', home/'full') == '# Card\n\nndcg 0.5\n'

def test_the_base_is_given_exactly_at_scale_nought(run):
    m, folder, home = run
    model.rescale(folder/'model', 0, home/'out')
    base, plain = (SentenceTransformer(str(home/n), device='cpu').state_dict() for n in ('multilingual-e5-small', 'out'))
    assert base.keys() == plain.keys() and all(torch.equal(v, plain[k]) for k, v in base.items())

@pytest.mark.parametrize('swap', [bert, minilm, qwen3, lambda p: xlmr(p, seed=1), None], ids=['bert', 'minilm', 'qwen3', 'weights', 'gone'])
def test_another_base_under_the_old_name_is_refused(run, swap):
    _, folder, home = run
    shutil.rmtree(home/'multilingual-e5-small')
    if swap: swap(home/'multilingual-e5-small')
    said = 'is not the base this model was made of' if swap else 'cannot be loaded'
    with pytest.raises(InputError, match=f'adapter_config.json, base_model_name_or_path.*{said}') as e: model.rescale(folder, .5, home/'out')
    assert '\n' not in str(e.value) and not (home/'out').exists()

@pytest.mark.parametrize('scale', [-.1, float('nan'), float('inf')])
def test_strengths_that_mean_nothing(run, scale):
    with pytest.raises(InputError, match='at least 0'): model.rescale(run[1], scale, run[2]/'out')

def test_rescale_overwrites_nothing(run):
    _, folder, home = run
    (home/'out').mkdir(); (home/'out'/'mine.txt').write_text('mine')
    for out in (home/'out', folder/'model'):
        with pytest.raises(InputError, match='exists already'): model.rescale(folder, .5, out)
    assert (home/'out'/'mine.txt').read_text() == 'mine'
    with pytest.raises(InputError, match='no lora_weights'): model.rescale(home/'multilingual-e5-small', .5, home/'new')

def test_a_merge_that_lost_the_strength_is_refused(run, monkeypatch):
    m, _, home = run
    right = model.merge_lora
    monkeypatch.setattr(model, 'merge_lora', lambda a, b, c, scale=1.: right(a, b, c))
    with pytest.raises(RuntimeError, match='merging changed the model'):
        model.save_model(m, home/'out', str(home/'multilingual-e5-small'), scale=.5)
    assert not (home/'out').exists()

def test_the_table_of_the_adapter_adds_up(kind, capsys):
    m = adapted(kind[1], token_indices=[5, 7])
    table, info = model.lora_layers(m), model.lora_info(m).iloc[0]
    assert table['weights'].sum() == info['trainable'] and set(table['rank']) == {'4', '-'}
    assert set(table['layer']) == set(model.linear_targets(m)) | {'embed_tokens' if kind[0] == 'qwen3' else 'word_embeddings'}
    model.print_lora_info(m)
    said = capsys.readouterr().out
    assert f"{info['trainable']:,.0f} of {info['total']:,.0f} weights" in said and len(said.splitlines()) == len(table) + 3

@pytest.mark.parametrize('ids', [[-1], [10**6]])
def test_tokens_that_do_not_exist(kind, ids):
    with pytest.raises(InputError, match='token_indices'): adapted(kind[1], token_indices=ids)
