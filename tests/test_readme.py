"The Python of the README, as it stands there."
import re, shutil, subprocess, sys
from korembed.data import sample_path

def test_ten_lines_of_python(root, tmp_path):
    code, = re.findall(r'```python\n(.*?)```', (root/'README.md').read_text(encoding='utf-8'), re.S)
    shutil.copy(sample_path('train/html.json'), tmp_path/'questions.json')
    (tmp_path/'docs').mkdir(); (tmp_path/'docs'/'글.txt').write_text('세종은 1443년에 한글을 만들었다.\n', encoding='utf-8')
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, encoding='utf-8')
    assert done.returncode == 0, done.stderr
    assert "'verdict'" in done.stdout and '한글을 만들었다' in done.stdout
