"Sphinx settings; docs/build.py copies this file beside the pages."
import html
from docutils.utils.math import latex2mathml
from sphinx.search.en import SearchEnglish

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
html_theme_options = dict(show_toc_level=2, use_download_button=False, use_fullscreen_button=False, search_bar_text='Search')
html_static_path, html_css_files = ['static'], ['korembed.css']
html_show_sourcelink = html_copy_source = False
html_math_renderer, html_search_language = 'mathml', 'ko'
exclude_patterns = ['*.py']

class SearchKorean(SearchEnglish):
    """English, and Hangul cut into pairs of syllables besides, as BM25 cuts it here: 세종 finds 세종대왕은.

    The page in the browser already looks inside words for three letters or more."""
    lang, language_name = 'ko', 'Korean and English'

    def split(self, input: str) -> list[str]:
        words = super().split(input)
        return words + [w[i:i + 2] for w in words if len(w) > 2 and '가' <= w[0] <= '힣' for i in range(len(w) - 1)]

def mathml(self, node) -> None:
    "A formula that browsers set by themselves."
    from docutils.nodes import SkipNode, math_block
    as_block = isinstance(node, math_block)
    text = latex2mathml.tex2mathml(node.astext(), as_block=as_block)
    self.body.append(f'<div class="math">{text}</div>' if as_block else text)
    raise SkipNode

def korean(app, page: str, template: str, context: dict, doctree) -> None:
    "Pages in Korean say so."
    if page.endswith(('.ko', '_ko')): context['language'] = 'ko'

def setup(app) -> None:
    app.add_search_language(SearchKorean)
    app.add_html_math_renderer('mathml', (mathml, None), (mathml, None))
    app.connect('html-page-context', korean)
