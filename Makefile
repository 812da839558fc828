# Every target does all of its own set-up, in .venv; `make clean` removes it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-dev
DEMO_READY := $(VENV)/.ready-demo
BENCH_READY := $(VENV)/.ready-bench
DEMO_FLAGS ?=
# three test processes at a time, whole files each, on two cores, too: many tests wait for servers, timers and
# processes. One thread for each: the models of tests are so small that threads would only wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

.PHONY: demo test check lint types torture bench format docs site clean

demo: $(DEMO_READY)
	$(BIN)/moodarchive demo $(DEMO_FLAGS)

test: $(READY)
	$(PYTEST) --durations 40 -m "not torture and not alone"
	$(BIN)/python -m pytest -m "alone and not torture"

check: lint
	$(PYTEST) -q -m "not slow and not torture and not alone"
	$(BIN)/python -m pytest -q -m "alone and not slow and not torture"

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory --jobs 2 types site

types: $(READY)
	$(BIN)/mypy

torture: $(READY)
	$(PYTEST) -m "torture and not alone"
	$(BIN)/python -m pytest -m "torture and alone"

bench: $(BENCH_READY)
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	$(BIN)/python -m moodarchive.tables.tables_page > docs/tables.md
	$(BIN)/python -m pipelines.commands.settings_page > docs/settings.md

# the pages as they stand in the repository, with the reference made from docstrings; a dead link fails
site: $(READY)
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs/site . runs/site
	@echo runs/site/README.html

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is too old; remedy: make PYTHON=python3.11 (or newer)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "error: $(PYTHON) cannot make environments; remedy: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch comes first and alone: the pinned build is then not replaced by what another package would pull in
$(VENV)/.torch: $(VENV)/bin/pip
	$(BIN)/pip install --quiet torch==2.13.0
	@touch $@

$(DEMO_READY): pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(READY): pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(DEMO_READY)

$(BENCH_READY): pyproject.toml $(VENV)/.torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@ $(READY) $(DEMO_READY)

clean:
	rm -rf $(VENV) runs
