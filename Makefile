# install: the environment; reproduce: everything from data to figures; test, smoke, lint: the checks.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: install reproduce published test test-slurm smoke lint docs format schemas lock clean

install: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=python3.x"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

reproduce: install
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores all
	@mkdir -p results/report
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores all --report results/report/report.html --report-metadata workflow/report/metadata.yaml --quiet all
	@echo "Open results/report/index.html"

# The published experiments whose data lie in DATA, a folder for each source, then docs/results/ from their results.
# ONLY and AS_RELEASED name experiments; FINISHED=1 trains nothing and shows the cells that are trained.
AS_RELEASED ?= bank_marketing_mlp online_shoppers_mlp
published: install
	$(BIN)/python -m unsmooth.published plan $(or $(DATA),$(error DATA=FOLDER is needed)) $(if $(FINISHED),--finished) \
		$(ONLY:%=--only %) $(AS_RELEASED:%=--as-released %)
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --configfile results/published/config.yaml --cores all
	$(BIN)/python -m unsmooth.published write

# Files of tests side by side, one process a core.
test: install
	$(BIN)/pytest --numprocesses $$(getconf _NPROCESSORS_ONLN) --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder tests src

# The workflow on a Slurm of its own on this machine; installs Slurm, so it needs root and Debian or Ubuntu.
test-slurm: install
	tests/workflow/slurm/install.sh
	$(BIN)/pytest tests/workflow/slurm

# Every experiment of the paper from download to figures, on miniatures of its dataset from a local server.
smoke: install
	$(BIN)/pytest tests/workflow/paper_experiments

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

# The documentation site, in docs/build; warnings are errors.
docs: install
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/build

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

# What editors know of config.yaml and experiments/*.yaml; generated from src/unsmooth/config/.
schemas: install
	$(BIN)/python workflow/scripts/write_schemas.py

# Needs uv. Resolves the newest versions for Python 3.11 and later on every platform.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--all-extras --upgrade pyproject.toml --output-file requirements.lock

clean:
	rm -rf results resources .snakemake
