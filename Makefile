# `make demo` and `make test` work on a fresh machine: each sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin
QUICK_TESTS = $(BIN)/python -m pytest tests --ignore tests/system --numprocesses auto --dist worksteal

.PHONY: demo test test-system test-long coverage lint docs session rivals bench clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

# A small model of the project's own play, then text from it.
demo: .venv/ready
	$(BIN)/charlstm train corpora/lighthouse.txt
	@echo
	$(BIN)/charlstm sample --temp 0.7 --length 800 --prompt 'MARTHA:'
	@echo

# On all processors; a few minutes.
test: .venv/ready
	$(QUICK_TESTS)

# The long form: processes that are killed, full disks, damaged files, all combinations of options.
test-system: .venv/ready
	$(BIN)/python -m pytest tests/system --numprocesses auto

# Hours: the same with high counts. It writes the table of docs/explanation/reliability.md;
# COUNTS=kills=50,damaged=1000 for less.
test-long: .venv/ready
	$(BIN)/python -m pytest tests/system --long --counts '$(COUNTS)' --report docs/explanation/reliability.md

# Which lines the tests run, by module; child processes included. Code that makes compiled code
# runs when it is compiled: into an empty cache.
coverage: .venv/ready
	rm -rf .coverage-numba
	NUMBA_CACHE_DIR=$(CURDIR)/.coverage-numba $(QUICK_TESTS) --cov --cov-report term:skip-covered

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is made in docs/: the reference from the code, the table of cells, the diagrams.
docs: .venv/ready
	$(BIN)/python docs/make_equations.py --write
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_diagrams.py

# The README's picture of a terminal; let nothing else run meanwhile.
session: .venv/ready
	$(BIN)/python docs/make_session.py

# The programs that `make bench` compares with, in an environment of their own.
rivals: benchmarks/.venv/ready

benchmarks/.venv/ready: benchmarks/requirements.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Timings mean something only when nothing else runs. Rivals that are missing are left out.
bench: .venv/ready
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf .venv benchmarks/.venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
