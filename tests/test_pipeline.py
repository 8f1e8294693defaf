"submission/complete_pipeline.ipynb from end to end, as it stands and on the setting of a GPU machine with stand-ins."
import json, zipfile
import nbformat, pytest
from nbclient import NotebookClient
from openai_server import serve
from peft import PeftModel
from small_models import xlmr
from transformers import AutoTokenizer
from korembed.data import sample_path
from korembed.evaluation import evaluate
from korembed.indexing import read_documents
from korembed.model import load_model
from korembed.pipeline import TOLERANCE
from korembed.training import train

PAPERS = {'model', 'training_info.json', 'training_loss.png', 'evaluation_results.json', 'evaluation_summary.csv',
          'evaluation_comparison.png', 'report.html'}

def execute(root, folder, changes=''):
    "Run the notebook in `folder`; `changes` are lines put at the end of its settings cell."
    nb = nbformat.read(root/'submission'/'complete_pipeline.ipynb', as_version=4)
    settings = next(c for c in nb.cells if c.cell_type == 'code' and c.source.startswith('import os'))
    settings.source += f'\nOUT = "out"\n{changes}'
    NotebookClient(nb, timeout=900, kernel_name='python3', resources=dict(metadata=dict(path=str(folder)))).execute()
    return folder/'out'

def stored(root):
    "The one submission that the repository keeps."
    kept = [p for p in (root/'submission').iterdir() if (p/'evaluation_results.json').is_file()]
    assert len(kept) == 1, [p.name for p in kept]
    return kept[0]

def results(folder): return json.loads((folder/'evaluation_results.json').read_text(encoding='utf-8'))

def same_as_stored(new, root):
    "The metrics of a walk are those of the stored submission, as far as another machine may differ."
    old = results(stored(root))
    assert new['n_queries'] == old['n_queries'] and set(new['results']) == set(old['results'])
    for system, metrics in old['results'].items():
        for name, value in metrics.items():
            allowed = 1e-6 if system == 'bm25' else TOLERANCE   # no model in it: the same everywhere
            assert abs(new['results'][system][name] - value) <= allowed, (system, name, value, new['results'][system][name])
    assert new['comparison']['tuned']['verdict'] == old['comparison']['tuned']['verdict']

@pytest.mark.slow   # the wheel takes the same walk by `korembed demo`, with the same check
def test_offline_setting_gives_the_stored_metrics(root, tmp_path, monkeypatch):
    for name in ('DATASET_ROOT', 'OPENAI_API_KEY', 'OPENAI_BASE_URL'): monkeypatch.delenv(name, raising=False)
    out = execute(root, tmp_path)
    assert PAPERS <= {p.name for p in out.iterdir()}
    assert (out/'model'/'lora_weights'/'adapter_model.safetensors').is_file()
    same_as_stored(new := results(out), root)
    assert 'lexical' in new['judge']['evaluation_model']

def test_the_stored_submission_is_what_the_repository_may_keep(root):
    kept = stored(root)
    tracked = [p for p in kept.rglob('*') if p.is_file()]
    assert PAPERS <= {p.name for p in kept.iterdir()}
    assert (kept/'model'/'lora_weights'/'adapter_model.safetensors').stat().st_size < 8_000_000
    info = json.loads((kept/'training_info.json').read_text(encoding='utf-8'))
    assert info['base'] == 'sentence-transformers/all-MiniLM-L6-v2' and info['config']['model_name'] == 'offline'
    for p in tracked:
        if p.suffix in ('.json', '.csv', '.html', '.md'):
            text = p.read_text(encoding='utf-8')
            assert not any('/' + d + '/' in text for d in ('home', 'root', 'tmp', 'work')) and 'site-packages' not in text, p.name

@pytest.mark.slow
def test_the_stored_adapter_gives_the_stored_scores(root, tmp_path):
    "Whoever has the repository alone can put the adapter on the base and see the table come out."
    kept = stored(root)
    old, weights = results(kept), str(kept/'model'/'lora_weights')
    tuned = load_model('offline', device='cpu')
    tuned[0].model = PeftModel.from_pretrained(tuned.transformers_model, weights).merge_and_unload()
    tuned[0].processor = AutoTokenizer.from_pretrained(weights)
    tuned.save_pretrained(str(tmp_path/'tuned'))
    new = evaluate(['offline', str(tmp_path/'tuned')], sample_path('eval/solar_system.json'), unit='chunk', chunk_size=old['chunk_size'],
                   chunk_overlap=old['chunk_overlap'], documents=read_documents(sample_path('eval/solar_system.txt')), device='cpu')
    for system, metrics in old['results'].items():
        assert abs(new['results'][system]['ndcg@10'] - metrics['ndcg@10']) < (1e-6 if system == 'bm25' else TOLERANCE), system
    assert new['comparison']['tuned']['verdict'] == old['comparison']['tuned']['verdict']

def zips(folder):
    "The HTML articles as KorQuAD 2.1 is published: zip files of JSON files."
    folder.mkdir()
    data = json.loads(sample_path('train/html.json').read_text(encoding='utf-8'))['data']
    for i, part in enumerate((data[:7], data[7:])):
        with zipfile.ZipFile(folder/f'KorQuAD_2.1_train_{i:02}.zip', 'w') as z:
            z.writestr(f'korquad2.1_train_{i:02}.json', json.dumps(dict(data=part), ensure_ascii=False))
    return folder

def test_real_setting_with_stand_ins(root, tmp_path, monkeypatch):
    model = xlmr(tmp_path/'multilingual-e5-small')
    with serve() as (url, received):
        for k, v in dict(DATASET_ROOT=str(zips(tmp_path/'korquad')), OPENAI_API_KEY='sk-stand-in', OPENAI_BASE_URL=url).items(): monkeypatch.setenv(k, v)
        out = execute(root, tmp_path, f'MODEL, DEVICE = {str(model)!r}, "cpu"\nTRAINING |= dict(batch_size=8, train_split=.8)')
    new, info = results(out), json.loads((out/'training_info.json').read_text(encoding='utf-8'))
    assert PAPERS <= {p.name for p in out.iterdir()}
    assert received and new['judge']['evaluation_model'].startswith('text-embedding-3-small') and received[0]['model'] == 'text-embedding-3-small'
    assert info['eval_examples'] > 0 and set(info['metrics']) == {'base', 'tuned'} and info['held_out_articles']
    saved = json.loads((out/'model'/'config_sentence_transformers.json').read_text(encoding='utf-8'))
    assert saved['prompts']['query'] == 'query: ' and saved['prompts']['document'] == 'passage: '   # found by the folder's name

def test_same_machine_same_numbers(tmp_path):
    made = [train(sample_path('train/html.json'), tmp_path/n, model_name='offline', max_steps=2, batch_size=8, log_every_n_steps=1,
                  eval_samples=10, device='cpu') for n in 'ab']
    assert made[0]['loss'] == made[1]['loss'] and made[0]['metrics'] == made[1]['metrics']
    weights = [(tmp_path/n/'model'/'model.safetensors').read_bytes() for n in 'ab']
    assert weights[0] == weights[1]
    other = train(sample_path('train/html.json'), tmp_path/'c', model_name='offline', max_steps=2, batch_size=8, log_every_n_steps=1,
                  eval_samples=10, device='cpu', seed=1)
    assert other['loss'] != made[0]['loss']
