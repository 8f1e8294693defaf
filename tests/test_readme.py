"The Python of the README, as it stands there."
import re, shutil
from processes import Running
from korembed.data import sample_path

def execute(code): exec(code, {'__name__': '__main__'})

def test_ten_lines_of_python(root, tmp_path):
    code, = re.findall(r'```python\n(.*?)```', (root/'README.md').read_text(encoding='utf-8'), re.S)
    shutil.copy(sample_path('train/html.json'), tmp_path/'questions.json')
    (tmp_path/'docs').mkdir(); (tmp_path/'docs'/'글.txt').write_text('세종은 1443년에 한글을 만들었다.\n', encoding='utf-8')
    running = Running(execute, code, cwd=tmp_path)
    out, err = running.communicate()
    assert running.returncode == 0, err
    assert "'verdict'" in out and '한글을 만들었다' in out
