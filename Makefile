# Everything from a fresh clone: `make demo` shows a real transfer, `make test` runs all checks.
# Both do their own set-up in .venv; nothing else on the machine is needed but Python >= 3.11.

VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.ready-to-run
DEV := $(VENV)/.ready-to-test
SIZE ?= 256M
# For two cores: a third of the time goes into waiting, for programs and for time-outs.
WORKERS ?= 4

.PHONY: demo test style types tests test-stock lab faults system-packages benchmarks clean help

help:
	@echo "make demo        a real transfer between two processes on this machine (SIZE=256M)"
	@echo "make test        style, types, all tests, coverage"
	@echo "make style types tests    one of these alone"
	@echo "make test-stock  the end-to-end tests on plain aiortc (half an hour)"
	@echo "make lab         what NATs and relays do to a transfer, as a table (root on Linux)"
	@echo "make faults      kill, cut, starve and lie to transfers, as a table (root on Linux)"
	@echo "make benchmarks  the figures of docs/performance.md, on this machine"
	@echo "make clean       remove what the others made"

demo: $(RUN)
	@$(BIN)/rtcsend demo --size $(SIZE)

test: style types tests

style: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell

types: $(DEV)
	$(BIN)/mypy

tests: $(DEV) system-packages
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/coverage report --fail-under=95

test-stock: $(DEV) system-packages
	RTCSEND_DATAPATH=stock $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/e2e $(PYTEST_ARGS)

lab: $(DEV) system-packages
	@$(BIN)/python -m tests.lab matrix

faults: $(DEV) system-packages
	@$(BIN)/python -m tests.faults

benchmarks: $(DEV)
	$(BIN)/python -m benchmarks

system-packages:
	@scripts/system-packages

$(RUN): pyproject.toml scripts/make-venv
	@scripts/make-venv $(VENV) -e .
	@touch $@

$(DEV): pyproject.toml scripts/make-venv
	@scripts/make-venv $(VENV) -e ".[dev]"
	@touch $@ $(RUN)

clean:
	rm -rf $(VENV) .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache build *.egg-info
