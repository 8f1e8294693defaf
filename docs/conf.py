"Sphinx settings; docs/build.py copies this file beside the pages."
import html
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.search.en import SearchEnglish
from sphinx.util import logging

logger = logging.getLogger(__name__)

project = html_title = 'korembed'
copyright = '2026, korembed contributors'
language = 'en'
extensions = ['myst_nb']
suppress_warnings = []   # none: what Sphinx warns of is mended
smartquotes = False   # two dashes begin an option
highlight_language = 'none'   # only what says its language is coloured

myst_enable_extensions = ['dollarmath', 'fieldlist']
myst_heading_anchors = 4
nb_execution_mode = 'off'   # the stored outputs are shown; `make notebooks` renews them
nb_code_prompt_show, nb_code_prompt_hide = 'Source', 'Source'
nb_ipywidgets_js = {}   # nothing is loaded from elsewhere
add_module_names = False
python_maximum_signature_line_length = 88

html_theme = 'sphinx_book_theme'
html_theme_options = dict(show_toc_level=2, use_download_button=False, use_fullscreen_button=False, navbar_persistent=[],
                          search_bar_text='Search')
html_context = dict(default_mode='auto')   # light or dark as the reader's system has it, until the button is used
html_favicon = 'static/icon.svg'
html_static_path, html_css_files = ['static'], ['korembed.css']
html_show_sourcelink = html_copy_source = False
html_math_renderer, html_search_language = 'mathml', 'ko'
exclude_patterns = ['*.py']

class SearchKorean(SearchEnglish):
    """English, and Hangul cut into pairs of syllables besides, as BM25 cuts it here: 세종 finds 세종대왕은.

    The page in the browser already looks inside words for three letters or more."""
    lang = 'ko'   # the name stays English: the stemmer in the browser is called by it

    def split(self, input: str) -> list[str]:
        words = super().split(input)
        return words + [w[i:i + 2] for w in words if len(w) > 2 and '가' <= w[0] <= '힣' for i in range(len(w) - 1)]

def mathml(self, node) -> None:
    "A formula that browsers set by themselves."
    as_block, tex = isinstance(node, nodes.math_block), node.astext()
    try: text = tex2mathml(tex, as_block=as_block)
    except Exception as e:   # MathError, or whatever an unexpected sign leads to
        logger.warning('formula cannot be set: %s (%s)', tex, e, location=node)
        text = tex
    self.body.append(f'<div class="math">{text}</div>' if as_block else text)
    raise nodes.SkipNode

def colons(app, doctree, page: str) -> None:
    "Between a parameter and what it means stand two hyphens that smartquotes would make a dash; a colon reads better."
    for n in [n for n in doctree.findall(nodes.Text) if n == ' -- ' and isinstance(n.parent.parent, nodes.field_body | nodes.list_item)]:
        n.parent.replace(n, nodes.Text(': '))

def korean(app, page: str, template: str, context: dict, doctree) -> None:
    "Pages in Korean say so."
    if page.endswith(('.ko', '_ko')): context['language'] = 'ko'

def setup(app) -> None:
    app.add_search_language(SearchKorean)
    app.add_html_math_renderer('mathml', (mathml, None), (mathml, None))
    app.connect('doctree-resolved', colons)
    app.connect('html-page-context', korean)
