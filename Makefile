# Needs Python 3.11+ and make, nothing else. `make` alone says what there is.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
CONFIG ?= config/lab.toml
# Many tests wait for a far side's silence, not for a processor: one worker more than there are cores.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
# A start compiles every module anew where this is set: two seconds, for each of the hundreds of processes of the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test check format bench first-evening clean

help:
	@echo "make run     install and start relay, Leak front and lab on loopback"
	@echo "make test    install and run the whole test suite"
	@echo "make check   format, lint, types, layers, docs"
	@echo "make bench   the benchmarks"
	@echo "make first-evening  play the README on a bare Debian (root, debootstrap, half an hour)"
	@echo "make format  format the code"
	@echo "make clean   remove the virtual environment and what the lab kept"

run: .venv/lab.stamp
	@exec $(BIN)/leak lab --config $(CONFIG)

test: .venv/dev.stamp
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m relay.cli.reference --check

format: .venv/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev.stamp
	$(BIN)/python -m benchmarks

first-evening:
	$(PYTHON) tests/first_evening/evening.py

clean:
	rm -rf .venv var build dist

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.x"; exit 1; }
	@echo "Making a virtual environment in .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv

# What running needs is less than what testing needs: a newcomer waits for the first only.
.venv/lab.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing the relay and the lab (once, about a minute)"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e '.[lab]' \
		| sed -u -n 's/^Collecting \([^ ]*\).*/  fetching \1/p; s/^Installing collected packages.*/  installing/p; /^ERROR/p'
	@$(BIN)/leak --version && touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing the relay with its tests and tools (once, a minute or two)"
	@$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[dev]'
	@touch $@ .venv/lab.stamp
