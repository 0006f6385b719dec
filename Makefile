# On a bare machine (python3 >= 3.11 with venv, and make) every target below makes .venv, installs
# what it needs there, once, and does its work. Choose the interpreter with PYTHON=python3.12.

PYTHON ?= python3
# Test processes; 0: none but pytest itself. Starting two costs some six seconds (each imports torch),
# so a suite of over twelve seconds gains by it on two cores.
JOBS ?= 2
# More words for the command: make demo ARGS="--limit 500", make test ARGS="-k oja"
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

# These would send the installation somewhere else, or let foreign packages into .venv. Everything
# else pip understands (index, proxy, certificate, cache) is left as the user has set it.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PYTHONPATH PYTHONHOME

.PHONY: help demo test slow lint format types imports docs check clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      a network learns handwritten digits from a stream, live"
	@echo "make test      the tests, without those marked slow (make slow runs these)"
	@echo "make check     tests, lint, types, import contract and docs, as continuous integration does"
	@echo "make lint      ruff;  make format mends what it can"
	@echo "make types     mypy, strict"
	@echo "make imports   who may import whom"
	@echo "make docs      the documentation, into site/"
	@echo "make clean     remove all of that again, .venv included (runs/ stays)"

demo: $(VENV)/.core
	$(BIN)/python -m streamhebb run $(ARGS)

# One thread each: the processes already share the cores.
test: export OMP_NUM_THREADS = 1
test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: test lint types imports docs

clean:
	rm -rf $(VENV) site build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find streamhebb tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- what is installed; each stamp is written last, so an interrupted installation is done again

$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "streamhebb needs Python 3.11 or newer, and there is no '$(PYTHON)' here: install it," \
	       "or name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "streamhebb needs \
	Python 3.11 or newer, and $(PYTHON) is %d.%d: name a newer one, for example: make \
	$(MAKECMDGOALS) PYTHON=python3.12" % sys.version_info[:2])'
	@"$(PYTHON)" -m venv $(VENV) || { \
	  echo "'$(PYTHON) -m venv' failed: its words are above. On Debian and Ubuntu the module comes" \
	       "with the package python3-venv." >&2; exit 1; }
	@touch $@

$(VENV)/.core: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e ".[test]"
	@touch $@ $(VENV)/.core

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e ".[test,dev,docs]"
	@touch $@ $(VENV)/.test $(VENV)/.core
