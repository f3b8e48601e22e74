# Two commands do everything: `make demo` listens to the samples, `make test` runs the tests. Both create .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast check format lint types espeak chromium clean

demo: $(VENV)/installed
	$(BIN)/affetto demo

test: test-fast
	$(BIN)/pytest -m slow

test-fast: $(VENV)/installed-dev
	$(BIN)/pytest -m "not slow"

check: format lint types test

format: $(VENV)/installed-dev
	$(BIN)/ruff format --check

lint: $(VENV)/installed-dev
	$(BIN)/ruff check

types: $(VENV)/installed-dev
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
		f"affetto needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}; try: make $(MAKECMDGOALS) PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

# The program that speaks the simulated corpora; without it, its tests are skipped.
espeak:
	command -v espeak-ng || { apt-get update --quiet && apt-get install --quiet --yes espeak-ng; }

# The browser that opens our pages; without it, their tests are skipped.
chromium:
	command -v chromium || { apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends chromium; }

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
