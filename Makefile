# Every target sets itself up: a Python ≥ 3.11 and make are all that is needed.
.DEFAULT_GOAL := help
PY := .venv/bin/python
# Three processes on two cores, for tests wait about as long as they compute; a test file stays in one process.
PYTEST := $(PY) -m pytest -n 3 --dist loadfile
SOURCES := api worker shared job_types client dev tests benchmarks chaos fuzz

.PHONY: help demo dev test check bench chaos fuzz format lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: .venv/ready ## start everything, run real jobs, show each change of state, stop
	@$(PY) -m dev.demo

dev: .venv/ready ## Redis, API on port 8000 and 2 workers in this terminal; reloads on change
	@$(PY) -m dev

test: .venv/ready ## the whole test suite
	$(PYTEST)

check: .venv/ready ## format, lint, types, import contracts, locks, the OpenAPI document, then the tests
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m mypy api worker shared job_types client dev benchmarks chaos fuzz
	$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
	$(PY) -m dev.locks --check
	$(PY) -m dev.linters
	$(PYTEST)

bench: .venv-bench/ready ## this project beside its peers, as Markdown tables (about three quarters of an hour)
	.venv-bench/bin/python -m benchmarks

chaos: .venv/ready ## the fault suite (about a quarter of an hour), with a verdict
	$(PY) -m chaos

fuzz: .venv/ready ## requests made from the API's own OpenAPI document, 1,000 for each operation (about 5 minutes)
	$(PY) -m fuzz

format: .venv/ready ## put every file in the project's format
	$(PY) -m ruff format $(SOURCES)
	$(PY) -m ruff check --fix $(SOURCES)

lock: .venv/ready ## refresh requirements.txt and requirements-dev.txt from pyproject.toml
	$(PY) -m dev.locks

.venv-bench/ready: benchmarks/requirements.txt | .venv/ready
	$(PY) -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.txt
	touch $@

.venv/ready: requirements-dev.txt
	@for python in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    test -x $(PY) && $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	      || "$$python" -m venv --clear .venv || exit 1; \
	    echo "Installing the locked requirements …"; \
	    $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt || exit 1; \
	    touch $@; exit 0; \
	  fi; \
	done; echo "No Python 3.11 or newer was found; name one: make PYTHON=/path/to/python" >&2; exit 1
