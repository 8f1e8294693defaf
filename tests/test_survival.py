"Runs that are killed, refused, filled up or spoilt: what was saved stays usable."
import errno, json, os, random, shutil, signal, subprocess, time
import pytest, torch
from safetensors.torch import load_file
from korembed.config import TrainingConfig
from korembed.data import sample_path
from korembed.model import at_scales, rescale
from korembed.runs import run_lock
from korembed.text import InputError
import korembed.trainer as trainer
from korembed.training import sweep, train
from processes import start
from small_models import bert

@pytest.fixture(scope='module')
def few(tmp_path_factory):
    "A dozen articles."
    data = json.loads(sample_path('train/articles.json').read_text(encoding='utf-8'))
    path = tmp_path_factory.mktemp('few')/'few.json'
    path.write_text(json.dumps(data | dict(data=data['data'][:12]), ensure_ascii=False), encoding='utf-8')
    return path

SMALL = dict(model_name='offline', device='cpu', num_epochs=2, batch_size=4, max_samples=16, lora_r=4, lora_dropout=.1, save_steps=2, train_split=1.,
             log_every_n_steps=1, precision='fp32')

def command(data, out, *more):
    "The same run on the command line."
    args = [f'--{k.replace("_", "-")}={v}' for k, v in SMALL.items()]
    return start('train', data, '--out', out, *args, *more)

def weights(run): return (run/'model'/'model.safetensors').read_bytes()

@pytest.fixture(scope='module')
def whole(few, tmp_path_factory):
    "The run that nothing disturbed."
    out = tmp_path_factory.mktemp('whole')/'run'
    train(few, out, **SMALL)
    return out

def test_killed_between_two_checkpoints_and_resumed_it_ends_the_same(few, whole, tmp_path):
    out = tmp_path/'run'
    run = command(few, out)
    while not (out/'checkpoints'/'checkpoint-2'/'seal.json').is_file():
        assert run.poll() is None, run.text()
        time.sleep(.01)
    run.kill(); run.communicate()
    assert not (out/'run.json').is_file() and not (out/'model').exists()
    with pytest.raises(InputError, match='--resume'): train(few, out, **SMALL)   # else it is left alone
    resumed = command(few, out, '--resume'); said = resumed.communicate()[1]
    assert resumed.returncode == 0 and 'going on from checkpoint-' in said, said
    assert weights(out) == weights(whole)
    a, b = (json.loads((r/'run.json').read_text(encoding='utf-8')) for r in (out, whole))
    assert a['loss'] == b['loss'] and a['resumed_from'] >= 2 and b['resumed_from'] == 0   # a record at every step: not one lost, none twice

@pytest.mark.slow
@pytest.mark.parametrize('end', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_stopped_at_random_moments_it_ends_the_same(few, whole, tmp_path, end):
    out, dice, stops = tmp_path/'run', random.Random(), 0
    for _ in range(30):
        more = ['--resume'] if out.is_dir() else []
        run = command(few, out, *more)
        try: said = run.communicate(timeout=dice.uniform(2, 20))[1]
        except subprocess.TimeoutExpired:
            run.send_signal(end); run.communicate(); stops += 1
            continue
        assert run.returncode == 0, said
        if stops: break
        shutil.rmtree(out)   # done before the dice said stop: once more
    assert stops and weights(out) == weights(whole)

def test_other_settings_are_refused_on_resumption(few, tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt): interrupted(few, tmp_path/'run')
    assert f"stopped at step 3; the same command with --out {tmp_path/'run'} --resume goes on from step 2" in caplog.text
    with pytest.raises(InputError, match='learning_rate=0.001 before, 0.002 now'): train(few, tmp_path/'run', resume=True, learning_rate=.002, **SMALL)
    with pytest.raises(InputError, match='the data is another'): train(sample_path('train/html.json'), tmp_path/'run', resume=True, **SMALL)
    with open(tmp_path/'run'/'training_metrics.jsonl', 'a', encoding='utf-8') as f: f.write('{"mine": 1}\n')
    with pytest.raises(InputError, match='training_metrics.jsonl: line 3 is no record'): train(few, tmp_path/'run', resume=True, **SMALL)

def interrupted(few, out, monkeypatch=None):
    class Stop(trainer.Record):
        def on_step_end(self, args, state, control, **kw):
            super().on_step_end(args, state, control, **kw)
            if state.global_step == 3: raise KeyboardInterrupt
    whole, trainer.Record = trainer.Record, Stop
    try: return train(few, out, **SMALL)
    finally: trainer.Record = whole

def test_a_second_process_is_refused(few, tmp_path):
    (tmp_path/'run').mkdir()
    with run_lock(tmp_path/'run'), pytest.raises(InputError, match='another process'): train(few, tmp_path/'run', **SMALL)

def spoilt(monkeypatch, step, error):
    "At that step the loss is what `error` makes of it."
    usual, n = trainer.GuardedTrainer.compute_loss, 0
    def compute(self, *a, **kw):
        nonlocal n
        n += 1
        loss = usual(self, *a, **kw)
        return error(loss) if n == step else loss
    monkeypatch.setattr(trainer.GuardedTrainer, 'compute_loss', compute)

def test_a_spoilt_loss_and_then_a_full_disk_lose_nothing(few, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as m:
        spoilt(m, 3, lambda loss: loss * float('nan'))
        with pytest.raises(InputError, match='loss is nan at step 3; lower learning_rate'): train(few, tmp_path/'run', **SMALL)
    assert trainer.last_checkpoint(tmp_path/'run'/'checkpoints').name == 'checkpoint-2'
    usual, n = torch.save, 0
    def save(obj, path, *a, **kw):
        nonlocal n
        n += 1
        if n == 2: raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))   # in the middle of the next checkpoint
        return usual(obj, path, *a, **kw)
    with monkeypatch.context() as m:
        m.setattr(torch, 'save', save)
        with pytest.raises(InputError, match='cannot be written; free some space and go on with --resume'):
            train(few, tmp_path/'run', resume=True, **SMALL)
    assert (tmp_path/'run'/'checkpoints'/'checkpoint-4').is_dir()   # torn
    made = train(few, tmp_path/'run', resume=True, **SMALL)
    assert made['resumed_from'] == 2 and weights(tmp_path/'run') == weights(whole)
    assert [step for step, _ in made['loss']] == list(range(1, 9))   # what stood behind the checkpoint was cut off: no step twice

def test_out_of_memory_says_what_to_change(few, tmp_path, monkeypatch):
    def none_left(loss): raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    spoilt(monkeypatch, 2, none_left)
    with pytest.raises(InputError, match='out of memory at step 2; lower batch_size=4'): train(few, tmp_path/'run', **SMALL)

def test_a_best_model_that_does_not_score_as_stored_is_an_error(few, tmp_path, monkeypatch):
    usual = trainer._load_trained
    def other(model, file):
        usual(model, file)
        for p in model.parameters(): p.data.add_(.01 if p.requires_grad else 0)
    monkeypatch.setattr(trainer, '_load_trained', other)
    examined = iter([.5, .4, .3, .2])
    c = TrainingConfig(**SMALL | dict(train_split=.7))
    from korembed.data import make_pairs, read_qa
    from korembed.model import add_lora, load_model
    model = add_lora(load_model('offline', device='cpu'), r=2)
    with pytest.raises(RuntimeError, match='the best model .step 4. scores'):
        trainer.fit(model, make_pairs(read_qa(few), chunk_size=170, chunk_overlap=0).select(range(16)), c, tmp_path, lambda: {'ndcg@10': next(examined)})

def test_early_stopping_ends_with_the_best(few, tmp_path, monkeypatch):
    import korembed.training as training
    scores = iter([.1, .2, .3, .25, .24, .3])   # the last: the best, put back
    monkeypatch.setattr(training, 'score', lambda model, exam: {'ndcg@10': (s := next(scores)), 'recall@10': s, 'mrr@10': s})
    made = train(few, tmp_path/'run', **SMALL | dict(train_split=.7, num_epochs=9, eval_steps=1, early_stopping=2))
    assert made['metrics']['tuned']['ndcg@10'] == .3 and made['best_step'] == 2 and made['steps'] == 4

def test_what_stopped_a_run_stands_in_its_log_and_once_on_the_terminal(few, tmp_path, monkeypatch, caplog):
    spoilt(monkeypatch, 1, lambda loss: loss * float('inf'))
    with pytest.raises(InputError, match='loss is inf at step 1'): train(few, tmp_path/'run', **SMALL)
    assert 'stopped: loss is inf at step 1' in (tmp_path/'run'/'train.log').read_text(encoding='utf-8')
    assert 'loss is inf' not in caplog.text

# ---- a base in a folder of one's own, five questions

FAQ = dict(zip(['환불은 어떻게 하나요?', '배송은 얼마나 걸리나요?', '비밀번호를 잊었어요.', '탈퇴는 어디서 하나요?', '영수증을 받을 수 있나요?'],
               ['이레 안에 고객센터에 신청합니다.', '보통 사흘 안에 도착합니다.', '로그인 화면에서 새로 정합니다.', '내 정보의 맨 아래 단추를 누릅니다.', '주문 내역에서 내려받습니다.']))
TINY = dict(prompts='none', device='cpu', batch_size=4, lora_r=2, precision='fp32', log_every_n_steps=1)

@pytest.fixture(scope='module')
def faq(tmp_path_factory):
    "Five questions, a small base in a folder whose name is nobody's business, and a run on them."
    home = tmp_path_factory.mktemp('비밀 사업')
    (home/'faq.csv').write_text('question,answer\n' + ''.join(f'{q},{a}\n' for q, a in FAQ.items()), encoding='utf-8')
    (home/'faq2.csv').write_text('question,answer\n' + ''.join(f'{q},{a} 또는 전화합니다.\n' for q, a in FAQ.items()), encoding='utf-8')
    base = bert(home/'bert-small')
    train(home/'faq.csv', home/'run', model_name=str(base), **TINY)
    return home

def test_a_tiny_file_ends_with_the_base_and_says_so(faq):
    made, card = json.loads((faq/'run'/'run.json').read_text(encoding='utf-8')), (faq/'run'/'model'/'README.md').read_text(encoding='utf-8')
    assert (made['best_step'], made['steps']) == (1, 3) and made['metrics']['base'] == made['metrics']['tuned']
    adapter = load_file(faq/'run'/'model'/'lora_weights'/'adapter_model.safetensors')
    assert not any(w.any() for k, w in adapter.items() if 'lora_B' in k) and 'did not improve on it' in card   # what the card says is so
    log = (faq/'run'/'train.log').read_text(encoding='utf-8')
    for said in ('did not improve on it', 'steps in an epoch 1, in the warm-up 1', 'one passage is held out: it can only be found'): assert said in log

def test_what_is_passed_on_names_no_folder_of_this_machine(faq):
    papers = [p for p in (faq/'run').rglob('*') if p.is_file() and (p.parent.name in ('model', 'lora_weights') or 'tfevents' in p.name)]
    secrets = [s for word in ('비밀 사업', str(faq)) for s in (word.encode(), json.dumps(word).strip('"').encode())]
    assert len(papers) > 9 and not [p.name for p in papers if any(s in p.read_bytes() for s in secrets)]
    assert 'base_model: bert-small\n' in (faq/'run'/'model'/'README.md').read_text(encoding='utf-8')
    for scale, model in at_scales(faq/'run', (0, 1), 'cpu'): assert model.encode('글').any()   # the base is found again by run.json
    rescale(faq/'run', .5, faq/'half')
    assert '"bert-small"' in (faq/'half'/'lora_weights'/'adapter_config.json').read_text(encoding='utf-8')

def test_a_finished_run_of_other_data_or_settings_is_refused(faq):
    again = dict(TINY, model_name=str(faq/'bert-small'), resume=True)
    assert train(faq/'faq.csv', faq/'run', **again)['steps'] == 3
    with pytest.raises(InputError, match='finished run of other settings .lora_r=2 before, 3 now. the data is another'):
        train(faq/'faq2.csv', faq/'run', **again | dict(lora_r=3))

def test_a_sweep_does_not_mix_in_runs_of_other_data(faq):
    c = TrainingConfig(**TINY, model_name=str(faq/'bert-small'), max_steps=1)
    sweep(faq/'faq.csv', faq/'rates', c, values=[1e-3])
    with pytest.raises(InputError, match='learning_rate=0.001: holds a finished run of other settings .the data is another.'):
        sweep(faq/'faq2.csv', faq/'rates', c, values=[1e-3, 2e-3])

def test_a_folder_of_the_user_is_left_alone(faq, tmp_path):
    mine = tmp_path/'model'/'mine.bin', tmp_path/'checkpoints'/'checkpoint-100'/'optimizer.pt'
    for p in mine: p.parent.mkdir(parents=True); p.write_text('my only copy')
    for resume in (False, True):
        with pytest.raises(InputError, match='is not empty .checkpoints. and no run of korembed'):
            train(faq/'faq.csv', tmp_path, model_name=str(faq/'bert-small'), resume=resume, **TINY)
    assert sorted(p for p in tmp_path.rglob('*') if p.is_file()) == sorted(mine)

def test_a_run_that_learnt_nothing_is_begun_anew(faq, tmp_path):
    again = dict(TINY, model_name=str(faq/'bert-small'), max_steps=1)
    def slip():
        with pytest.raises(InputError, match='nofile.parquet'): train(faq/'faq.csv', tmp_path/'run', negatives='nofile.parquet', **again)
    slip()
    with run_lock(tmp_path/'run'), pytest.raises(InputError, match='another process'): train(faq/'faq.csv', tmp_path/'run', **again)   # one that is at work
    for trace in ('training_metrics.jsonl', 'checkpoints/checkpoint-1/seal.json'):   # one that had begun to learn
        (tmp_path/'run'/trace).parent.mkdir(parents=True, exist_ok=True); (tmp_path/'run'/trace).write_text('{"step": 1, "loss": 2}\n')
        with pytest.raises(InputError, match='did not finish; go on with --resume'): train(faq/'faq.csv', tmp_path/'run', **again)
        with pytest.raises(InputError, match='cannot go on with other settings .negatives=nofile.parquet before, None now'):
            train(faq/'faq.csv', tmp_path/'run', resume=True, **again)
        shutil.rmtree(tmp_path/'run'); slip()
    for resume in (False, True):
        assert train(faq/'faq.csv', tmp_path/'run', resume=resume, **again)['config']['negatives'] is None
        assert json.loads((tmp_path/'run'/'started.json').read_text(encoding='utf-8'))['config']['negatives'] is None
        shutil.rmtree(tmp_path/'run'); slip()
