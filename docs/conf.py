"Sphinx settings; docs/build.py copies this file beside the processed notebooks."
project, html_title = 'korembed', 'korembed'
copyright = '2026, korembed contributors'
extensions = ['myst_nb']
myst_enable_extensions = ['dollarmath']   # formulas of the guides
nb_execution_mode = 'off'   # the stored outputs are shown; `make notebooks` renews them
html_theme = 'sphinx_book_theme'
html_theme_options = dict(show_toc_level=2, use_download_button=False)
exclude_patterns = ['_docs', '**.ipynb_checkpoints', '*.py']
language = 'en'
suppress_warnings = ['docutils', 'myst.header', 'myst.xref_missing', 'misc.highlighting_failure']
