# The developer's interface: demo, test, check, bench, clean.
# Every target sets up what it needs in .venv; a changed pyproject.toml sets it up again.

# The first that is new enough; python3 where none is, for the message. (It ends at the first: where a `shell` ends with
# a command that is not there, make takes what it said for an error message.)
CANDIDATES := python3 python3.11 python3.12 python3.13 python3.14 python
PYTHON ?= $(or $(shell for each in $(CANDIDATES); do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$each; break; }; done),python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test check bench clean
.DEFAULT_GOAL := test
# A half-made environment is made again, not taken as done.
.DELETE_ON_ERROR:

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Talik needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip

# One stamp for each set of extras.
$(VENV)/.ready-%: pyproject.toml | $(BIN)/python
	@echo "installing talik[$*] into $(VENV)"
	$(PIP) install --editable '.[$*]'
	@touch $@

demo: $(VENV)/.ready-demo
	$(BIN)/talik demo

check: $(VENV)/.ready-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest -n 2

bench: $(VENV)/.ready-bench
	cd benchmarks && ../$(BIN)/python vectorize.py
	cd benchmarks && ../$(BIN)/python end_to_end.py --folder ../.bench
	cd benchmarks && ../$(BIN)/python two_processes.py --folder ../.bench
	cd benchmarks && ../$(BIN)/python shipped_models.py --side 4096
	cd benchmarks && ../$(BIN)/python service.py --folder ../.bench/boreal

clean:
	rm -rf $(VENV) .bench talik-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
