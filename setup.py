"Everything the package needs to know stands in settings.ini; this file hands it to setuptools."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

root = Path(__file__).parent
ini = ConfigParser(delimiters=['='], interpolation=None)
ini.read(root/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']

def requirements(key): return cfg.get(key, '').split()

extras = {k.removesuffix('_requirements'): requirements(k) for k in cfg if k.endswith('_requirements')}

setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], author=cfg['author'],
    license='MIT', license_files=['LICENSE'], keywords=cfg['keywords'].split(),
    long_description=(root/'README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    classifiers=['Development Status :: 4 - Beta', 'Intended Audience :: Developers', 'Natural Language :: Korean',
                 *(f'Programming Language :: Python :: 3.{v}' for v in (11, 12, 13))],
    packages=find_packages(include=['korembed', 'korembed.*']) + [f'korembed.samples{p}' for p in ('', '.train', '.eval')],
    # `data/` of the repository travels in the wheel as korembed/samples
    package_dir={'korembed.samples': 'data'}, package_data={'': ['*.md', '*.json', '*.jsonl', '*.tsv', '*.txt']},
    python_requires=f">={cfg['min_python']}", install_requires=requirements('requirements'), extras_require=extras,
    entry_points={'console_scripts': requirements('console_scripts')}, zip_safe=False,
)
