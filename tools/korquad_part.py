"""The part of KorQuAD 1.0's dev file that numbers in this project were made on: 112 of its 140 articles, named in korquad_dev_112.txt.

usage: python tools/korquad_part.py KorQuAD_v1.0_dev.json OUT.json
"""
import json, sys
from pathlib import Path

def part(dev: dict, titles: list[str]) -> dict:
    "The articles of these titles, in the order of the list."
    by_title = {a['title']: a for a in dev['data']}
    missing = [t for t in titles if t not in by_title]
    if missing: sys.exit(f'{len(missing)} of {len(titles)} articles are not in this file, the first: {missing[0]}; give KorQuAD_v1.0_dev.json')
    return dict(dev, data=[by_title[t] for t in titles])

if __name__ == '__main__':
    if len(sys.argv) != 3: sys.exit(__doc__)
    titles = (Path(__file__).parent/'korquad_dev_112.txt').read_text(encoding='utf-8').split('\n')[:-1]
    made = part(json.loads(Path(sys.argv[1]).read_text(encoding='utf-8')), titles)
    Path(sys.argv[2]).write_text(json.dumps(made, ensure_ascii=False), encoding='utf-8')
    questions = sum(len(p['qas']) for a in made['data'] for p in a['paragraphs'])
    print(f'{sys.argv[2]}: {len(made["data"])} articles, {questions} questions')
