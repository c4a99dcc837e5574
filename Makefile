# CRCL Harness. `make` or `make help` explains every target.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/pip install --disable-pip-version-check --constraint constraints.txt --editable
JOBS   ?= 2
ARGS   ?=
SMOKE  ?=
BY     ?= the authors of CRCL Harness

# What the paper reports. With SMOKE=1 every declaration is tried, at a size of minutes on the embedded benchmark.
PAPER       := flickr30k_noise coco_noise cc152k ablation sensitivity clip noise_types
EVERY       := $(basename $(notdir $(wildcard experiments/*.toml)))
EXPERIMENTS  = $(if $(SMOKE),$(EVERY),$(PAPER))
SWEEPS      := $(basename $(notdir $(wildcard sweeps/*.toml)))
FAIR        := $(patsubst sweeps/%.toml,%,$(wildcard sweeps/fair/*.toml))
SMALL        = $(if $(SMOKE),--smoke)

.DEFAULT_GOAL := help
.PHONY: help setup demo reproduce-flickr reproduce-all sweep-momentum rivals fair results tables ui optuna test test-slow test-long test-cluster check lint types clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

setup: $(VENV)/.ready ## Make .venv with everything that the other targets need

# The demo needs no test tools, no Ray and no Slurm: a smaller environment, which `make setup` completes.
$(VENV)/.demo: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $$($(PYTHON) --version) is too old; 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "error: this Python cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	$(PIP) '.[demo]'
	@touch $@

$(VENV)/.ready: $(VENV)/.demo
	$(PIP) '.[dev]'
	@touch $@

demo: $(VENV)/.demo ## Train the embedded benchmark (methods x noise rates), render its table, figure and page: 5 minutes on 2 idle cores
	$(BIN)/harness run demo --jobs $(JOBS) $(SMALL) $(ARGS)
	$(BIN)/harness report demo $(SMALL)

reproduce-flickr: setup ## Train the Flickr30K half of the paper's Table 1 (features in data/f30k_precomp) and render it
	$(BIN)/harness run flickr30k_noise $(SMALL) $(ARGS)
	$(BIN)/harness report table1 $(SMALL)

reproduce-all: setup ## All tables, ablations, figures and sweeps of the paper and one page over them; SMOKE=1: in minutes
	@failed=; \
	for grid in $(EXPERIMENTS); do $(BIN)/harness run $$grid $(SMALL) --jobs $(JOBS) $(ARGS) || failed="$$failed $$grid"; done; \
	for sweep in $(SWEEPS); do $(BIN)/harness sweep $$sweep $(SMALL) --jobs $(JOBS) $(ARGS) || failed="$$failed $$sweep"; done; \
	$(BIN)/harness theory $(SMALL) || failed="$$failed theory"; \
	$(BIN)/harness report $(SMALL) || failed="$$failed report"; \
	test -z "$$failed" || { echo "not finished:$$failed; the same command continues" >&2; exit 1; }

sweep-momentum: setup ## Search the momentum coefficient beta on the dev split (12 trials on the embedded benchmark)
	$(BIN)/harness sweep momentum --jobs $(JOBS) $(SMALL) $(ARGS)
	$(BIN)/harness report momentum $(SMALL)

rivals: setup ## Train all methods on the embedded benchmark (3 seeds, 5 noise rates) and render their tables: hours
	$(BIN)/harness run rivals --jobs $(JOBS) $(SMALL) $(ARGS)
	$(BIN)/harness report rivals rivals_ranks $(SMALL)

fair: setup ## Search each method's own hyperparameters on dev, with the same number of trials for all: hours
	@for sweep in $(FAIR); do $(BIN)/harness sweep $$sweep $(SMALL) --jobs $(JOBS) $(ARGS) || exit $$?; done

results: setup ## Write the figures of the demo's runs to the file that the README's table is of; BY=NAME of who trained them
	$(BIN)/harness results collect demo --by "$(BY)" --out reports/results/demo.json
	$(BIN)/harness results page

tables: setup ## Render every table and figure from the runs that are there, and the page out/index.html
	$(BIN)/harness report $(SMALL)

ui: setup ## Open the MLflow pages of all runs on localhost
	$(BIN)/harness ui $(ARGS)

optuna: setup ## Open Optuna's dashboard on the sweep that was worked on last
	$(BIN)/harness ui --optuna $(ARGS)

test: setup ## Run the tests (minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS)

test-slow: setup ## Run the tests that train in processes of their own (a quarter of an hour)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) -m 'slow and not long'

test-long: setup ## Run the tests that take minutes each (hours)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) -m long

test-cluster: setup ## Run the tests on a real Slurm (packages slurm-wlm munge slurmdbd mariadb-server, as root) and a real Ray cluster
	OMP_NUM_THREADS=1 $(BIN)/pytest -m cluster

lint: setup ## Style
	$(BIN)/ruff check harness tests
	$(BIN)/ruff format --check harness tests

types: setup ## Types
	$(BIN)/mypy

check: lint types test ## What CI runs: style, types, tests

clean: ## Remove the environment and caches; data/, runs/ and mlflow.db stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist
