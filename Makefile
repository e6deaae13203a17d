# What a person types. `make` alone explains; every target may be repeated and is quick when nothing changed.

# The first interpreter of a supported version; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)
PIP_INSTALL := .venv/bin/pip install --quiet --disable-pip-version-check
BIN := .venv/bin
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -print)

.DEFAULT_GOAL := help
.PHONY: help run test coverage check check-types check-style check-async check-web fuzz fuzz-all bench lock clean

help: ## this text
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 14

run: .venv/run.stamp sfu/web/index.html ## build what is missing, start the server, print the address to open
	@$(BIN)/trio-sfu $(ARGS)

test: .venv/test.stamp ## everything: checks, web, packaging, fuzzing, and all tests with real browsers
	@tools/test

coverage: .venv/test.stamp ## branch coverage by all tests but the browsers'; not part of make test, as it doubles their time
	$(BIN)/pytest -q -p pytest_cov.plugin --numprocesses auto --dist worksteal --cov --cov-report=term --ignore tests/browser

check: .venv/test.stamp web/node_modules/.stamp ## linters and types only: ruff, flake8-async, mypy, tsc, eslint
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync check-types check-style check-async check-web

check-types:
	$(BIN)/mypy
check-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
check-async:
	$(BIN)/python tools/check_async.py
# eslint's rules look at types of other files too, so all of it is checked when any file of the page changed.
check-web: web/node_modules/.checked

web/node_modules/.checked: web/node_modules/.stamp $(WEB_SOURCES)
	cd web && ../tools/npm run --silent check
	@touch $@

S ?= 60
fuzz: .venv/test.stamp ## fuzz parsers: T=name (default: each of them), S=seconds for each (60)
	$(BIN)/python fuzz/run.py $(T) --seconds $(S)

HOURS ?= 1
fuzz-all: .venv/test.stamp ## fuzz everything for HOURS=h (1), JOBS=n at a time (cores), then merge corpora and report
	$(BIN)/python fuzz/campaign.py $(T) --hours $(HOURS) $(if $(JOBS),--jobs $(JOBS))

bench: .venv/test.stamp ## CPU per forwarded packet, join time, memory per peer: the numbers in docs/benchmarks.md
	$(BIN)/python -m benchmarks $(ARGS)

lock: .venv/run.stamp ## write requirements/*.lock again, with the newest versions that pyproject.toml allows
	tools/lock

clean: ## remove everything that was built or installed here
	rm -rf .venv .venv-lowest .cache build dist sfu/web web/node_modules .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache *.egg-info tests/interop/clients/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "trio-sfu needs Python 3.11, 3.12, 3.13 or 3.14 (apt-get install python3)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tools/need python3-venv
	$(PYTHON) -m venv .venv

.venv/run.stamp: pyproject.toml requirements/server.lock | .venv/bin/python
	$(PIP_INSTALL) --require-hashes --requirement requirements/server.lock
	$(PIP_INSTALL) --no-deps --editable .
	@touch $@

.venv/test.stamp: requirements/dev.lock requirements/fuzz.lock .venv/run.stamp
	$(PIP_INSTALL) --require-hashes --requirement requirements/dev.lock
	@# atheris has wheels for some interpreters only, and building it takes a compiler: do without it then.
	$(PIP_INSTALL) --require-hashes --only-binary :all: --requirement requirements/fuzz.lock || true
	@touch $@

web/node_modules/.stamp: web/package-lock.json | .venv/bin/python
	cd web && ../tools/npm ci --no-audit --no-fund
	@touch $@

sfu/web/index.html: web/node_modules/.stamp $(WEB_SOURCES)
	cd web && ../tools/npm run build
	@touch $@
