"""What a cell exports, as Sphinx describes Python: signature, docstring, and each parameter with the comment that stands beside it.

The cell is read, not run: no page needs torch, and a type that is defined further down is no obstacle.
"""
import ast, io, re, tokenize
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef

def plain(text: str) -> str:
    "Text in which no sign means anything to Markdown; what stands in backticks stays."
    return ''.join(p if p[:1] == '`' else re.sub(r'([\\*_{}\[\]<>$|#~^`])', r'\\\1', p) for p in re.split(r'(`[^`]+`)', text))

def comments(source: str) -> dict[int, str]:
    "Line -> what is said at its end."
    return {t.start[0]: t.string.lstrip('# ') for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT}

def init(node: ast.ClassDef) -> Function | None:
    "What makes an object of a class."
    return next((n for n in node.body if isinstance(n, Function) and n.name == '__init__'), None)

def described(node: Function | ast.ClassDef, said: dict[int, str]) -> list[str]:
    "A field for each parameter and for what comes back, where a comment tells of it."
    if isinstance(node, ast.ClassDef):
        return [f':param {n.target.id}: {plain(said[n.lineno])}' for n in node.body if isinstance(n, ast.AnnAssign) and n.lineno in said]
    a = node.args
    every = [*a.posonlyargs, *a.args, *filter(None, [a.vararg]), *a.kwonlyargs, *filter(None, [a.kwarg])]
    last = {p.end_lineno: p.arg for p in every}   # of several parameters on a line the comment means the last, as nbdev has it
    lines = [f':param {p}: {plain(said[n])}' for n, p in last.items() if n in said]
    if node.returns and node.returns.end_lineno in said: lines.append(f':returns: {plain(said[node.returns.end_lineno])}')
    return lines

def signature(node: Function | ast.ClassDef, bound: bool) -> str:
    "Parameters and result as they are written; of a class, what makes an object."
    if isinstance(node, ast.ClassDef):
        if made := init(node): return signature(made, True).split(' -> ')[0]
        fields = ', '.join(ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign))
        return f'({fields})' if fields else ''
    args = ast.unparse(node.args)
    if bound: args = re.sub(r'^(?:self|cls)(?:, )?', '', args)
    return f'({args})' + (f' -> {ast.unparse(node.returns)}' if node.returns else '')

def block(node: Function | ast.ClassDef, said: dict[int, str], method: bool = False) -> list[str]:
    "Lines of the directive that describes a function or class."
    marks = {ast.unparse(d) for d in node.decorator_list}
    kind = 'class' if isinstance(node, ast.ClassDef) else 'property' if 'property' in marks else 'method' if method else 'function'
    text = signature(node, method and 'staticmethod' not in marks) if kind != 'property' else ''
    inner = [f':{m}:' for m in ('classmethod', 'staticmethod') if method and m in marks]
    inner += ['', *map(plain, (ast.get_docstring(node) or '').splitlines()), '']
    inner += described(kind == 'class' and init(node) or node, said)
    for n in node.body if kind == 'class' else []:
        if isinstance(n, Function) and n.name[0] != '_': inner += ['', *block(n, said, True)]
    fence = '`' * (3 if method else 4)
    return [f'{fence}{{py:{kind}}} {node.name}{text}', *inner, fence]

def is_command(node: Function | ast.ClassDef) -> bool:
    "Does it belong to the command line? Its help says more than its signature."
    return any('.command(' in ast.unparse(d) or '.callback(' in ast.unparse(d) for d in node.decorator_list)

def defined(source: str) -> Iterator[Function | ast.ClassDef]:
    "The public functions and classes of a cell, in their order."
    for node in ast.parse(source).body:
        if isinstance(node, Function | ast.ClassDef) and node.name[0] != '_' and not is_command(node): yield node

def directives(source: str) -> str:
    "All that a cell exports, for Sphinx; empty where nothing is public."
    said = comments(source)
    return '\n\n'.join('\n'.join(block(n, said)) for n in defined(source))
