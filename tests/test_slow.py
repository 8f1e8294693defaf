"What takes minutes: make test-slow."
import json, subprocess, sys
import pytest

pytestmark = pytest.mark.slow

def korembed(*args, cwd):
    done = subprocess.run([sys.executable, '-c', 'from korembed.cli import main; main()', *map(str, args)], cwd=cwd, capture_output=True,
                          text=True, encoding='utf-8')
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

def test_one_pass_over_real_korquad_helps_on_unseen_articles(korquad, tmp_path):
    made = korembed('train', korquad, '--model', 'offline', '--out', 'run', '--epochs', 1, '--json', cwd=tmp_path)
    result = korembed('evaluate', '--model', 'offline', '--model', 'run/model', '--data', korquad, '--with', 'bm25,hybrid', '--out', 'papers',
                      '--json', cwd=tmp_path)
    assert result['held_out_articles'] == made['held_out_articles'] and result['setting'] == 'unseen'
    assert result['comparison']['tuned']['verdict'] == 'helps'
    assert result['results']['tuned']['ndcg@10'] > 3 * result['results']['base']['ndcg@10']
