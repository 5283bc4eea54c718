# `make demo` and `make test` work on a fresh machine: each sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test slow torture lint docs session rivals bench clean

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

test: .venv/ready
	$(BIN)/python -m pytest -m 'not slow'

slow: .venv/ready
	$(BIN)/python -m pytest -m slow

# The long form of what docs/explanation/reliability.md promises; COUNTS=kills=50,damaged=1000 for less.
torture: .venv/ready
	$(BIN)/python -m pytest tests/torture --long --counts '$(COUNTS)' --report docs/explanation/reliability.md

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is made in docs/: the reference from the code, the diagrams.
docs: .venv/ready
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
