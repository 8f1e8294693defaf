"""The two pictures of docs/house.md: the walk, and which module imports which, read from the modules.

Usage: python docs/diagrams.py   (writes docs/walk.svg and docs/house.svg)
"""
import ast, re
from html import escape
from pathlib import Path

root = Path(__file__).resolve().parent.parent
INK, PALE, PAPER, BLUE = '#20242b', '#5b6470', '#fbfaf7', '#2f5f98'   # on paper of their own: the same by day and by night

# thing, its rooms, the command that makes it, and what is done to it next
WALK = [('raw files', 'documents, formats', 'data describe', 'read and clean'),
        ('questions and passages', 'data, questions', 'eda', 'split by article, pair'),
        ('pairs', 'data, negatives', 'data prepare', 'tune'),
        ('tuned model', 'training', 'train', 'cut, encode, store'),
        ('index', 'indexing', 'index', 'ask'),
        ('hits', 'retrieval', 'search', 'score on labels'),
        ('proof', 'evaluation', 'evaluate', 'write down'),
        ('report', 'report', 'report', '')]

def svg(width: int, height: int, title: str, about: str, parts: list[str]) -> str:
    "A picture that says what it is."
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    names = 'role="img" aria-labelledby="title about" font-family="system-ui, sans-serif"'
    return '\n'.join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {names}>',
                      f'<title id="title">{escape(title)}</title>', f'<desc id="about">{escape(about)}</desc>',
                      f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>', *parts, '</svg>', ''])

def words(x: float, y: float, text: str, size: int = 14, fill: str = INK, more: str = '') -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}"{more}>{escape(text)}</text>'

def walk() -> str:
    "The steps from top to bottom, so that a telephone shows them at a size that can be read."
    parts, high = [], 76
    for i, (thing, rooms, command, then) in enumerate(WALK):
        y = 16 + i * high
        parts += [f'<rect x="16" y="{y}" width="196" height="44" rx="6" fill="#fff" stroke="{BLUE}" stroke-width="1.5"/>',
                  words(114, y + 27, thing, 15 - len(thing) // 16, INK, ' text-anchor="middle" font-weight="600"'),
                  words(228, y + 19, rooms, 14), words(228, y + 37, f'korembed {command}', 13, PALE, ' font-family="monospace"')]
        if not then: continue
        parts += [f'<path d="M48 {y + 44}v26m-5 -7l5 7l5 -7" fill="none" stroke="{BLUE}" stroke-width="1.5"/>',
                  words(62, y + 64, then, 13, PALE)]
    about = ', '.join(w[0] for w in WALK) + '; beside each the modules that make it and the command.'
    return svg(420, len(WALK) * high, 'The walk', about, parts)

def numbers() -> dict[str, str]:
    "Module -> number of its notebook."
    said = {}
    for p in (root/'nbs').glob('*.ipynb'):
        if m := re.search(r'#\| default_exp (\w+)', p.read_text(encoding='utf-8')): said[m[1]] = p.stem.split('_')[0]
    return said

def imports() -> dict[str, set[str]]:
    "Module -> modules of the house that it imports, at its head or when it needs them."
    files = {p.stem: ast.parse(p.read_text(encoding='utf-8')) for p in (root/'korembed').glob('*.py') if p.stem[0] != '_'}
    found = {}
    for name, tree in files.items():
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.level or (n.module or '').split('.')[0] == 'korembed')]
        found[name] = {w for n in nodes for w in [(n.module or '').removeprefix('korembed.'), *(a.name for a in n.names)]} & set(files)
    return found

def ordered(needs: dict[str, set[str]]) -> list[str]:
    "Those that need nothing first, then those that need only these, and so on."
    number, done, left = numbers(), [], dict(needs)
    while left:
        free = sorted((n for n in left if left[n] <= set(done)), key=lambda n: number[n])
        if not free: raise ValueError(f'a circle among {sorted(left)}')
        done += free
        for n in free: del left[n]
    return done

def house() -> str:
    "A dot where the module of the row imports that of the column."
    needs, number = imports(), numbers()
    names, step, left, top = ordered(needs), 17, 150, 140
    end, parts = left + len(names) * step, []
    lines = ''.join(f'M8 {top + i * step}H{end}M{left + i * step} {top}v{len(names) * step}' for i in range(len(names) + 1))
    parts.append(f'<path d="{lines}" stroke="#e3dfd5"/>')
    for i, name in enumerate(names):
        x, y, label = left + (i + .5) * step, top + (i + .5) * step, f'{number[name]} {name}'
        parts += [words(left - 8, y + 4, label, 12, INK, ' text-anchor="end"'),
                  words(0, 0, label, 12, INK, f' transform="translate({x + 4:g} {top - 8}) rotate(-90)"'),
                  f'<rect x="{x - 3:g}" y="{y - 3:g}" width="6" height="6" fill="none" stroke="{PALE}"/>']
        dots = [left + (j + .5) * step for j, n in enumerate(names) if n in needs[name]]
        parts += [f'<circle cx="{d:g}" cy="{y:g}" r="5" fill="{BLUE}"/>' for d in dots]
    about = '; '.join(f"{n} imports {', '.join(m for m in names if m in needs[n]) or 'nothing'}" for n in names)
    return svg(end + 16, top + len(names) * step + 16, 'Which module imports which', about, parts)

PICTURES = {'walk.svg': walk, 'house.svg': house}

if __name__ == '__main__':
    for name, draw in PICTURES.items(): (root/'docs'/name).write_text(draw(), encoding='utf-8', newline='\n')
