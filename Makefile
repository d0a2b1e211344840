# Every target makes its own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
SHELL := /bin/sh
.DEFAULT_GOAL := help
# Most of what runs here starts many processes: what the first has compiled is there for the others.
unexport PYTHONDONTWRITEBYTECODE
# And python-escpos's table of printers, which takes as long to parse as all else of it to import.
test coverage mutants test-stack $(VENV)/.dev: export ESCPOS_CAPABILITIES_PICKLE_DIR := $(abspath $(VENV))/capabilities

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What is used is compiled at its first use: to compile all that is installed takes half of the time.
INSTALL := $(PIP) install --no-compile --constraint constraints.txt
# They measure how long something takes, and have the machine to themselves.
ALONE := $(addprefix tests/stack/test_,capacity.py query_cost.py)
# They wait the longest, and begin first.
FIRST := $(addprefix tests/stack/test_,game_day.py outages.py)
# Either of the two, or both.
STACK ?= alone together
OTHERS := $(filter-out $(ALONE) $(FIRST) tests/stack/test_compose.py,$(wildcard tests/stack/test_*.py))
CHECK_PYTHON := import sys; sys.exit(0 if sys.version_info >= (3, 11) else "printobs needs Python 3.11 or newer; %s is %d.%d: name another, as in make PYTHON=python3.12" % (sys.executable, sys.version_info[0], sys.version_info[1]))
SOURCES := $(shell find src pyproject.toml README.md -type f -not -name '*.pyc' 2>/dev/null)

.PHONY: help demo demo-up test coverage lint mutants soak bench slow stack doctor silence walk dashboards test-rules test-stack test-compose clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## receipts from a till to paper and back, in separate processes, as one trace each
	@$(BIN)/python -m examples.demo

demo-up: $(VENV)/.run ## the same, left running, with URLs and a token
	@$(BIN)/python -m examples.demo --stay

test: $(VENV)/.dev ## all tests, on the built wheel
	@$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: $(VENV)/.dev ## the same, and the branches of the library that they do not reach
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n 6 --dist loadfile --no-loadscope-reorder $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: $(VENV)/.dev ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

mutants: $(VENV)/.dev ## break each promise on purpose; its tests must turn red
	@$(BIN)/python -m tests.mutants $(ARGS)

soak: $(VENV)/.dev ## ten thousand jobs, and a thousand runs of service and agents, under faults, against the paper; hostile callers
	@$(BIN)/python -m tests.soak.jobs
	@$(BIN)/python -m tests.soak.hostile
	@$(BIN)/python -m tests.ledger --least 5 $(ARGS)

bench: $(VENV)/.dev $(VENV)/uvloop ## what it costs, beside its peers, in one run; a ratio over its limit fails
	@UVLOOP_PATH=$(abspath $(VENV)/uvloop) $(BIN)/python -m pytest benchmarks --timeout 900 --benchmark-json $(VENV)/benchmark.json --benchmark-columns median,iqr,rounds $(ARGS)

stack: $(VENV)/.run ## the real backend: Collector, Prometheus, Alertmanager, Jaeger, until Ctrl-C; built once, which needs Go
	@$(BIN)/python -m collector.stack

doctor: $(VENV)/.run ## what is wrong with the backend that runs here, and what to do; the exit status says which
	@$(BIN)/python -m collector.stack.doctor

silence: $(VENV)/.run ## tell nobody of a branch for a while: BRANCH=mitte FOR=2h; END=ID ends that before
	@$(BIN)/python -m collector.stack.silence "$${BRANCH-}" "$${FOR-}" --end "$${END-}"

walk: $(VENV)/.run ## a failing test print, followed to whom it is told, and back
	@$(BIN)/python -m collector.stack.walk $(ARGS)

dashboards: $(VENV)/.dev ## Grafana's dashboards, from their source
	@$(BIN)/python -m collector.grafana.source

test-rules: $(VENV)/.dev ## each alert and recording rule in made-up hours, and with each one fault; needs Go once
	@$(BIN)/python -m collector.stack build >/dev/null
	@$(BIN)/python -m pytest tests/rules -n 2 $(ARGS)

test-stack: $(VENV)/.dev ## the reference deployment with the real backend, end to end; needs Go once
	@$(BIN)/python -m collector.stack build >/dev/null
	@$(if $(filter alone,$(STACK)),$(BIN)/python -m pytest $(ALONE) --timeout 300 $(ARGS) || [ $$? -eq 5 ]) # 5: none of them was asked for
	@$(if $(filter together,$(STACK)),$(BIN)/python -m pytest $(FIRST) $(OTHERS) --timeout 300 -n 3 --dist loadfile --no-loadscope-reorder $(ARGS))

test-compose: $(VENV)/.dev ## the Compose file in a real engine; as root, on Debian: it installs one where none answers
	@$(BIN)/python -m pytest tests/stack/test_compose.py $(ARGS)

clean: ## remove what was made
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	@$(PYTHON) -m venv $(VENV)

# The wheel, and only the wheel, is installed: what is tested is what would be published.
$(VENV)/.run: $(BIN)/python constraints.txt examples/requirements.txt $(SOURCES)
	@rm -rf $(VENV)/wheel
	@PIP_CONSTRAINT=constraints.txt $(PIP) wheel --no-deps --wheel-dir $(VENV)/wheel .
	@$(INSTALL) --force-reinstall --no-deps $(VENV)/wheel/*.whl
	@set -- $(VENV)/wheel/*.whl && $(INSTALL) "$$1[all]" --requirement examples/requirements.txt
	@touch $@

slow: $(VENV)/.dev ## make each hot path slower on purpose; the benchmark must turn red
	@$(BIN)/python -m tests.mutants --slow $(ARGS)

$(VENV)/uvloop: benchmarks/requirements.txt $(BIN)/python
	@rm -rf $@
	@$(INSTALL) --target $@ --requirement benchmarks/requirements.txt

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt
	@$(INSTALL) --requirement requirements-dev.txt
	@mkdir -p $$ESCPOS_CAPABILITIES_PICKLE_DIR
	@$(BIN)/python -c 'import escpos.capabilities'
	@touch $@
