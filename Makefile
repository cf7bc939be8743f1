# Every target sets itself up: a Python ≥ 3.11 and make are all that is needed.
.DEFAULT_GOAL := help
PY := .venv/bin/python
# Four processes on two cores, because tests wait about as long as they compute; a test file stays in one process.
# The end-to-end tests come first, as their files lie: their long waits at the end would leave processors idle.
# A process that ends in a test that takes too long has no successor, which could wait for ever for its work.
PYTEST := $(PY) -m pytest -n 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# Two overlays of Redis, side by side and beside nothing else: a busy machine delays their fail-overs.
PODS := $(PY) -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m pods tests/e2e
DOCKERFILES := Dockerfile.api Dockerfile.worker
SOURCES := api worker shared job_types client dev tests benchmarks chaos fuzz

# Bytecode is written even where the environment forbids it: a run of the tests starts hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo dev models telemetry test browser pods check audit sbom screenshots bench chaos fuzz format lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: .venv/ready ## run eight real jobs, show each change of state, stop
	@$(PY) -m dev.demo

dev: .venv/ready ## run Redis, the API on port 8000 and 2 workers here; reload on change
	@$(PY) -m dev

models: .venv/models ## install the libraries of the job types with a model (200 MB)

telemetry: .venv/telemetry ## install the libraries of traces (10 MB)

test: .venv/ready ## run the tests; those of models need `make models`, those of traces `make telemetry`
	$(PYTEST) -m "not browser and not pods"

browser: .venv/ready ## run the tests of pages in the system's Chromium (3 minutes)
	$(PYTEST) -m browser

pods: .venv/ready ## run the scripts of Redis in Kubernetes with real servers; needs redis-cli (2 minutes)
	$(PODS)

check: .venv/ready .venv-checks/ready ## check format, lint, types, import contracts, locks, OpenAPI, images, manifests; run all tests, in a browser and with pods too
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m mypy api worker shared job_types client dev benchmarks chaos fuzz
	$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
	$(PY) -m dev.locks --check
	$(PY) -m dev.linters
	$(PY) -m dev.manifests
	@if command -v promtool >/dev/null; then \
	  promtool check config deploy/prometheus/prometheus.yml && promtool test rules deploy/prometheus/alerts_test.yml; \
	else echo "promtool: skipped, it is missing; .ci/run installs it."; fi
	@if [ -x .venv-checks/bin/hadolint ]; then \
	  .venv-checks/bin/hadolint --no-color $(DOCKERFILES) && echo "hadolint: no findings."; \
	else echo "hadolint: skipped, it has no wheel for this platform."; fi
	$(PYTEST) -m browser
	@if command -v redis-cli >/dev/null; then \
	  $(PODS); \
	else echo "make pods: skipped, redis-cli is missing; .ci/run installs it."; fi
	$(PYTEST) -m "not browser and not pods"

audit: .venv/ready .venv-checks/ready ## look for known vulnerabilities of the locked packages; needs a network
	@$(PY) -m dev.audit

sbom: .venv/ready .venv-checks/ready ## write the packages of each image to sbom/, as CycloneDX
	@$(PY) -m dev.sbom

screenshots: .venv/ready ## make the pictures of the dashboard in docs/images
	@$(PY) -m dev.screenshots

bench: .venv-bench/ready .venv-bench-peers/ready .venv-bench-inference/ready ## compare with peers, as Markdown tables (2 hours)
	.venv-bench/bin/python -m benchmarks

chaos: .venv/ready ## break the service on purpose and check each promise (half an hour)
	$(PY) -m chaos

fuzz: .venv/ready ## send requests made from the OpenAPI document, 1,000 per operation (5 minutes)
	$(PY) -m fuzz

format: .venv/ready ## format every file
	$(PY) -m ruff format $(SOURCES)
	$(PY) -m ruff check --fix $(SOURCES)

lock: .venv/ready ## update the locked requirements to the newest versions
	$(PY) -m dev.locks

.venv-checks/ready: dev/requirements-checks.txt | .venv/ready
	@$(PY) -m venv --clear .venv-checks
	@echo "Installing the locked tools of checks …"
	@.venv-checks/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/models: requirements-models-dev.txt | .venv/ready
	@echo "Installing the locked requirements of models …"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/telemetry: requirements-telemetry.txt | .venv/ready
	@echo "Installing the locked requirements of traces …"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv-bench/ready: benchmarks/requirements.txt | .venv/ready
	$(PY) -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

.venv-bench-peers/ready: benchmarks/requirements-peers.txt | .venv/ready
	$(PY) -m venv --clear .venv-bench-peers
	.venv-bench-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

.venv-bench-inference/ready: benchmarks/requirements-inference.txt | .venv/ready
	$(PY) -m venv --clear .venv-bench-inference
	.venv-bench-inference/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
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
