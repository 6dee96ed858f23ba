# The README's two commands are `make demo` and `make test`; each does all the set-up it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Each in the words of some package's metadata; a part of the text is enough.
LICENCES := MIT;Apache;BSD;ISC;Python Software Foundation;PSF;Mozilla Public License 2.0

.PHONY: help setup demo test lint test-compose bench simulation soak mutants audit lock clean

help: ## Show what there is to make.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

setup: $(VENV)/.ready ## Make .venv with the command callback-scheduler and the embedded cloud in it.

$(VENV)/.ready: pyproject.toml requirements/build.txt requirements/dev.txt requirements/emulator.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; set PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/build.txt -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m scheduler.emulator
	@touch $@

demo: setup ## Watch real workflows wait, be polled and end, on an embedded local cloud.
	$(BIN)/callback-scheduler demo

lint: setup ## Check style, types and the direction of imports.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## Run every check and every test that needs no container engine.
	$(BIN)/pytest -n 4 --dist worksteal # they wait more than they reckon

test-compose: setup ## Bring `docker compose up` up for real and watch a workflow end.
	$(BIN)/pytest tests/compose

bench: setup ## Measure CPU, calls, lateness and memory of real daemons against a stub, beside the version before.
	$(BIN)/python -m benchmarks.bench $(ONLY)

simulation: setup ## Let ten million jobs and twenty replicas that come and go pass by in virtual time.
	PYTHONPATH=. $(BIN)/python benchmarks/simulation.py

soak: setup ## Let replicas be killed and put to sleep for minutes while every tenth call fails; SEED=N repeats a run.
	$(BIN)/python -m tests.soak.soak $(if $(SEED),--seed $(SEED))

mutants: setup ## Put small bugs into the heart of it, one at a time: do the quick tests notice? ONLY=scheduler/core/t*.py
	$(PYTHON) -m venv $(VENV)/mutants
	$(VENV)/mutants/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutants.txt
	$(BIN)/python -m tests.mutants $(ONLY)

audit: setup ## Look for known vulnerabilities in the locked versions, and for licences that are not free to use.
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/audit.txt
	for python in $(BIN)/python $(VENV)/emulator/bin/python; do \
	  $(VENV)/audit/bin/pip-licenses --python $$python --summary --partial-match --allow-only "$(LICENCES)" || exit 1; done
	for lock in requirements/*.txt; do $(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes -r $$lock || exit 1; done

lock: ## Pin the newest versions that fit, with hashes (needs uv).
	UV_CUSTOM_COMPILE_COMMAND="make lock" sh requirements/lock.sh

clean: ## Remove what the other targets made.
	rm -rf $(VENV) .mutants dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
