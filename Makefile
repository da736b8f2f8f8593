# Everything here sets itself up: it needs python3 (3.11 or newer), pip and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint screenshots docs bench bench-smoke soak fuzz clean

help:  ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## Make the virtual environment (.venv) and install into it

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$$($(PYTHON) --version) is too old: use PYTHON=python3.11 or newer" >&2; exit 1; }
	@echo "==> Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "    no venv module here: taking virtualenv"; \
		$(PYTHON) -m pip install --quiet virtualenv && $(PYTHON) -m virtualenv --quiet $(VENV); }
	@echo "==> Installing run-agent and what its tests need (a minute or so)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]'
	@touch $@

demo: $(READY)  ## Two shell agents talk over a Markdown file while you watch
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: $(READY) lint  ## Style, types, import rules, and all tests
	@echo "==> Tests"
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal

lint: $(READY)  ## Style, types and import rules; those of the page where npm is
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "==> mypy --strict"
	@$(BIN)/mypy
	@echo "==> Import rules"
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache
	@echo "==> The page: tsc and biome"
	@sh tests/web/lint.sh $(VENV)/page

soak: $(READY)  ## The long tests: more writers, more messages, more crashes
	@$(BIN)/python -m pytest -q -m soak --timeout 3600 -n 2 --dist worksteal --durations 20

fuzz: $(READY)  ## Look for inputs that break the format, FUZZ_SECONDS (60) long
	@echo "==> Installing atheris"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@$(BIN)/python tests/fuzz/run.py

bench: $(READY)  ## Speed and memory beside baselines, as ratios (minutes)
	@$(BIN)/python -m benchmarks

bench-smoke: $(READY)  ## The same benchmarks with small numbers, to see that they run
	@$(BIN)/python -m benchmarks --smoke

screenshots: $(READY)  ## Make the pictures in docs/images anew (needs chromium)
	@$(BIN)/python tools/screenshots.py

docs: $(READY)  ## Write docs/cli.md and docs/api.md anew, from help and docstrings
	@$(BIN)/python tools/generate_cli.py && $(BIN)/python tools/generate_api.py

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
