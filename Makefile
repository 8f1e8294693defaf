# Every target does what it needs by itself; the first one makes .venv.
PYTHON ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BIN := .venv/bin
# no bars and no telemetry in stored outputs
QUIET := ANONYMIZED_TELEMETRY=False HF_HUB_DISABLE_PROGRESS_BARS=1 TQDM_DISABLE=1 TOKENIZERS_PARALLELISM=false PYTHONWARNINGS=ignore

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lab notebooks export readme docs bench constraints clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/ready: settings.ini setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...'; exit 2; }
	$(PYTHON) -m venv .venv
	@sh tools/torch.sh $(BIN)/pip $(TORCH_INDEX)
	$(BIN)/pip install -q --no-compile -c constraints.txt -e '.[offline,dev,guides,mteb,ui,docs]'
	@touch $@

demo: .venv/ready ## The whole walk on the project's own data
	$(BIN)/korembed demo

test: .venv/ready ## Every test that runs in minutes: notebooks, then tests/
	$(QUIET) $(BIN)/python tools/test_notebooks.py
	OMP_NUM_THREADS=1 $(QUIET) $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow' tests

test-slow: .venv/ready ## The tests that take longer
	$(QUIET) $(BIN)/python -m pytest -q -m slow tests

lab: .venv/ready ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab nbs

export: .venv/ready ## Notebooks to modules, and both cleaned
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	$(BIN)/nbdev_clean --fname submission

notebooks: .venv/ready ## Run every notebook and store its outputs
	$(BIN)/nbdev_export
	$(QUIET) $(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --inplace submission/*.ipynb
	$(QUIET) $(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --inplace nbs/*.ipynb nbs/guides/*.ipynb
	$(BIN)/nbdev_clean
	$(BIN)/nbdev_clean --fname submission
	$(BIN)/python tools/readme.py

readme: .venv/ready ## README.md from nbs/index.ipynb
	$(BIN)/python tools/readme.py

docs: .venv/ready ## The pages, into _docs
	$(BIN)/python docs/build.py

bench: .venv/ready ## Ratios of speed, each pair in one run
	@for f in benchmarks/*.py; do $(QUIET) $(BIN)/python $$f || exit 1; done

constraints: .venv/ready ## Write down the versions of .venv
	{ echo '# One complete set of versions that was tried together, Python 3.11 on Linux; written by: make constraints'; \
	  $(BIN)/pip freeze --all --exclude-editable | sed 's/+cpu$$//' | grep -v -e ' @ ' -e '^pip==' ; } > constraints.new
	mv constraints.new constraints.txt

clean: ## Remove what can be made again
	rm -rf .venv build dist _docs _proc logs *.egg-info .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
