# CRCL Harness. `make` or `make help` explains every target.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo reproduce-flickr ui test test-slow check lint types clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

setup: $(VENV)/.ready ## Make .venv with everything that the other targets need

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $$($(PYTHON) --version) is too old; 3.11 or newer is needed: make setup PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "error: this Python cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## Train the embedded benchmark (methods x noise rates), render its table and figure: about 15 minutes
	$(BIN)/harness run demo --jobs $(JOBS) $(ARGS)
	$(BIN)/harness report demo

reproduce-flickr: setup ## Train the Flickr30K half of the paper's Table 1 (features in data/f30k_precomp) and render it
	$(BIN)/harness run flickr30k_noise $(ARGS)
	$(BIN)/harness report flickr30k_noise

ui: setup ## Open the MLflow pages of all runs on localhost
	$(BIN)/harness ui $(ARGS)

test: setup ## Run the tests (minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS)

test-slow: setup ## Run the long tests too
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) -m 'slow or not slow'

lint: setup ## Style
	$(BIN)/ruff check harness tests
	$(BIN)/ruff format --check harness tests

types: setup ## Types
	$(BIN)/mypy

check: lint types test ## What CI runs: style, types, tests

clean: ## Remove the environment and caches; data/, runs/ and mlflow.db stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist
