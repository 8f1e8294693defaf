"Loading where a notebook cannot show it: no hub, other architectures."
import pytest
from small_models import xlmr
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
