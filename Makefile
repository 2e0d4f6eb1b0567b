# `make` prints what it can do. Everything it needs is installed into $(VENV) from requirements.lock.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MEMBERS := protos chassis services/state services/tools services/executor services/orchestrator services/gateway deploy/allinone cli
SOURCES := chassis services deploy cli tests bench examples protos/generate.py
BUF := npx --yes @bufbuild/buf@1.75.0
BASE ?= main

.DEFAULT_GOAL := help
.PHONY: help install up demo test test-long test-failpoints test-sim mutations chaos test-unit test-contract test-system lint format types contracts protos protos-check protos-breaking lock bench bench-layers bench-hop bench-overload bench-pickup bench-growth bench-soak bench-peers clean

help: ## Print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/.installed: requirements.lock $(MEMBERS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("Pentad needs Python 3.11 or newer; try make PYTHON=python3.13") if sys.version_info < (3, 11) else 0'
	@echo "Installing into $(VENV); this happens once and takes about a minute."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(MEMBERS:%=-e ./%)
	@touch $@

install: $(BIN)/.installed ## Install everything into .venv

up: install ## Start the suite; Ctrl-C stops it
	@$(BIN)/pentad up --files examples/data

demo: install ## Run a five-service job over a real CSV, and show its trace
	@$(BIN)/python examples/demo.py

test: install ## Run the tests, but for those that take minutes each
	$(BIN)/pytest -m "not long"

test-long: install ## Run those too: faults on every hop, failpoints, chaos
	$(BIN)/pytest -m long

test-failpoints: install ## Let processes die at every failpoint, not only at the usual ones
	PENTAD_TEST_FAILPOINTS=1 $(BIN)/pytest tests/system/test_failpoints.py

SEEDS ?= 2000
test-sim: install ## Play SEEDS simulated suites under virtual time
	cd tests && ../$(BIN)/python -m simulation --seeds $(SEEDS)

mutations: install ## Take out each safeguard in turn, and show that tests notice
	$(BIN)/python tests/mutations/run.py

SECONDS ?= 60
chaos: install ## Kill, stop, cut and starve a real suite for SECONDS
	cd tests && ../$(BIN)/python -m chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

test-unit: install ## Run the tests that need no server
	$(BIN)/pytest tests/unit tests/integration

test-contract: install ## Run the state suite against real engines
	$(BIN)/pytest tests/contract

test-system: install ## Run the tests over the public API
	$(BIN)/pytest tests/system

lint: install ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install ## Check types
	$(BIN)/mypy $(SOURCES)

contracts: install ## Check which package may import which
	$(BIN)/lint-imports

protos: install ## Generate the stubs in protos/gen
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python protos/generate.py

protos-check: protos ## Check that the stubs are current and the protos lint clean
	@git diff --exit-code --stat -- protos/gen || { echo "protos/gen is not what the protos say: commit what make protos wrote"; exit 1; }
	@if command -v npx >/dev/null; then cd protos && $(BUF) lint && $(BUF) format -d --exit-code; \
	elif [ -n "$$CI" ]; then echo "buf needs npx, which is missing"; exit 1; \
	else echo "skipped: buf needs npx, which is missing"; fi

protos-breaking: ## Check that the protos still speak to BASE (default main)
	cd protos && $(BUF) breaking --against '../.git#branch=$(BASE),subdir=protos'

lock: install ## Pin every dependency anew in requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 \
		$(foreach m,protos chassis state tools executor orchestrator gateway allinone cli,--no-emit-package pentad-$(m)) \
		--upgrade -o requirements.lock requirements-dev.txt

PLOTS := bench/out/plots
$(PLOTS)/.installed: bench/plots/install bench/plots/requirements.lock
	@PYTHON=$(PYTHON) bench/plots/install
	@touch $@

bench: install $(PLOTS)/.installed ## Measure the suite beside bare chains, and beside its peers if installed
	$(BIN)/python -m bench --figures docs/figures $(ARGS)

bench-layers: install ## Measure what each layer of each service costs a run
	$(BIN)/python -m bench.layers

bench-hop: install ## Measure what the chassis costs on a hop
	$(BIN)/python -m bench.hop

bench-pickup: install ## Measure how long work waits on an idle suite
	$(BIN)/python -m bench.pickup

bench-growth: install $(PLOTS)/.installed ## Measure what a run costs when much is stored or open already
	$(BIN)/python -m bench.growth --figures docs/figures $(ARGS)

bench-soak: SECONDS = 600
bench-soak: install $(PLOTS)/.installed ## Show over SECONDS (600) that no process grows under half of the most load
	$(BIN)/python -m bench.soak --seconds $(SECONDS) --figures docs/figures $(ARGS)

PEERS := bench/out/peers
$(PEERS)/.installed: bench/peers/install bench/peers/requirements.lock bench/peers/package.json
	@PYTHON=$(PYTHON) bench/peers/install
	@touch $@

bench-peers: install $(PEERS)/.installed ## Install what users could pick instead, and measure it beside the suite
	$(BIN)/python -m bench --systems unary,five,one,restate,dbos,langgraph $(ARGS)

bench-overload: install ## Ask three times too much of a suite
	$(BIN)/python -m bench.overload
	$(BIN)/python -m bench.overload --processes

clean: ## Remove what was installed and built; data under .pentad stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis bench/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
