# Two commands on a fresh machine: `make demo` and `make test`. Everything is installed into .venv from requirements.lock.
# The first python3 on the PATH that can make a venv, has its headers for what is built from source, and was compiled with optimisations, as distributions' are; the first
# of all where none was. pyenv's is not unless told otherwise, and takes half as long again for everything.
OPTIMISED := import ensurepip, os, sys, sysconfig; options = str(sysconfig.get_config_var("CONFIG_ARGS")); \
    headers = os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")); \
    sys.exit(sys.version_info < (3, 11) or not (headers and (sys.base_prefix == "/usr" or "--enable-optimizations" in options)))
PYTHON ?= $(or $(shell IFS=:; for folder in $$PATH; do \
    "$$folder/python3" -c '$(OPTIMISED)' 2>/dev/null && echo "$$folder/python3" && break; done),python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCALSTACK_PYTHON ?= python3.11
LOCALSTACK_VENV := .venv-localstack
LOCALSTACK_STAMP := $(LOCALSTACK_VENV)/.installed

# Bytecode is kept, whatever the shell says: compiling the tests anew takes seven seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test test-localstack lint format bench soak lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(STAMP)  ## make .venv with the locked dependencies and the lab command

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or later is needed, $(PYTHON) is $$($(PYTHON) --version)"; echo "hint: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing $$(grep -c == requirements.lock) packages into $(VENV) with $(PYTHON): a minute or two the first time"
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

demo: $(STAMP)  ## the main job on the embedded target: deploy, monday-spike, cold-start report
	$(BIN)/lab deploy
	$(BIN)/lab load --scenario monday-spike
	$(BIN)/lab coldstarts report

test: $(STAMP)  ## lint, types and all tests
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not alone and not localstack" --numprocesses auto --dist loadscope --no-loadscope-reorder
	$(BIN)/python -m pytest -m alone

test-localstack: $(STAMP) $(LOCALSTACK_STAMP)  ## the three commands on the real LocalStack, which needs Python 3.11 but no Docker
	$(BIN)/python -m pytest -m localstack tests/localstack

$(LOCALSTACK_STAMP): tests/localstack/requirements.txt
	@command -v $(LOCALSTACK_PYTHON) >/dev/null || { echo "error: LocalStack needs Python 3.11, and there is no $(LOCALSTACK_PYTHON)"; echo "hint: make LOCALSTACK_PYTHON=/path/to/python3.11 test-localstack"; exit 1; }
	@$(LOCALSTACK_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: LocalStack needs Python 3.11, $(LOCALSTACK_PYTHON) is $$($(LOCALSTACK_PYTHON) --version)"; echo "hint: make LOCALSTACK_PYTHON=/path/to/python3.11 test-localstack"; exit 1; }
	rm -rf $(LOCALSTACK_VENV)
	$(LOCALSTACK_PYTHON) -m venv $(LOCALSTACK_VENV)
	@echo "installing LocalStack into $(LOCALSTACK_VENV): a minute or two the first time"
	$(LOCALSTACK_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --requirement tests/localstack/requirements.txt
	@touch $(LOCALSTACK_STAMP)

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff write the layout
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## benchmarks, each beside a peer measured in the same run
	$(BIN)/python -m tests.benchmarks

soak: $(STAMP)  ## 15 minutes of functions that crash, hang, leak and fork on the emulator; SOAK_SECONDS=300 SEED=7 for others
	$(BIN)/python -m tests.soak --seconds $(or $(SOAK_SECONDS),900) $(if $(SEED),--seed $(SEED))

lock: $(STAMP)  ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --no-header --no-annotate --no-emit-index-url --upgrade --output-file requirements.lock pyproject.toml

clean:  ## remove what was built here (not .lab)
	rm -rf $(VENV) $(LOCALSTACK_VENV) dist build
