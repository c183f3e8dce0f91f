# make demo    install into .venv and run the example
# make test    everything that must hold before a change is merged
# make test-all  the same with some slow cases whose laws faster ones hold as well
# make bench   timings beside other libraries, written to docs/benchmarks.*; takes many minutes
#              SCALE=0.1 takes a tenth of the rows, ONLY=dense,cold some of the scripts: to build/benchmarks then
# make lint    the checks of `make test` that need no run
# make clean   remove what these commands made

PYTHON ?= python3
SCALE ?= 1
ONLY ?=
VENV := .venv
BENCH := .venv-bench
PIP := -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all bench lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/plot.stamp
	$(VENV)/bin/python examples/attrition.py build

lint: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

test: lint
	$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal --durations=10 -m "not extra"

test-all: lint
	$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal --durations=10

# An environment of its own: some of the peers need older libraries.
bench: $(BENCH)/bench.stamp
	$(BENCH)/bin/python benchmarks/run.py --scale $(SCALE) --only "$(ONLY)"

$(VENV)/plot.stamp: pyproject.toml | $(VENV)/made.stamp
	$(VENV)/bin/python $(PIP) -e ".[plot]"
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/made.stamp
	$(VENV)/bin/python $(PIP) -e ".[dev]"
	@touch $@

$(BENCH)/bench.stamp: pyproject.toml | $(BENCH)/made.stamp
	$(BENCH)/bin/python $(PIP) -e ".[bench]"
	@touch $@

%/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "jaxglm needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv --clear $*
	@touch $@

clean:
	rm -rf $(VENV) $(BENCH) build dist .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
