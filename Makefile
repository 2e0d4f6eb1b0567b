# `make` prints what it can do. Everything it needs is installed into $(VENV) from requirements.lock.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MEMBERS := protos chassis services/state services/tools services/executor services/orchestrator services/gateway deploy/allinone cli
SOURCES := chassis services deploy cli tests bench examples protos/generate.py

.DEFAULT_GOAL := help
.PHONY: help install lock protos

help: ## Print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/.installed: requirements.lock $(MEMBERS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit("Pentad needs Python 3.11 or newer; try make PYTHON=python3.13") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(MEMBERS:%=-e ./%)
	@touch $@

install: $(BIN)/.installed ## Install everything into .venv

lock: ## Pin every dependency anew in requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 \
		$(foreach m,protos chassis state tools executor orchestrator gateway allinone cli,--no-emit-package pentad-$(m)) \
		--upgrade -o requirements.lock requirements-dev.txt

protos: install ## Generate the stubs in protos/gen
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python protos/generate.py
