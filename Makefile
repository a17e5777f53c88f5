# What people type: make serve, make test, make check. Everything lives in .venv.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
ARGS ?=
# Tests that start processes of their own, and mostly wait for them: four rows beside each other, each one at a time.
BROWSER := tests/browser
ENGINE := tests/runs
FAULTS := tests/faults/processes
PROCESSES := tests/test_processes.py tests/test_tutorial.py

# Where Python may not keep what it compiled, each of the processes that tests start compiles all of Picasso again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: serve install test test-all test-browser test-engine test-faults test-processes check check-code check-tests docs format audit
.PHONY: bench load screenshots clean

serve: install
	$(BIN)/picasso serve $(ARGS)

install: .venv/.installed
	@$(BIN)/python -m examples.imagenet.prepare >/dev/null

# Only modules that are used are compiled, when they are first imported: all of them takes half a minute.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Picasso needs Python 3.11, 3.12 or 3.13; none was found."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.installed: setup.py pyproject.toml | $(BIN)/python
	$(INSTALL) -e ".[tensorflow,examples]"
	@touch $@

.venv/.dev: setup.py pyproject.toml | $(BIN)/python
	$(INSTALL) -e ".[tensorflow,examples,dev]"
	@touch .venv/.installed $@

check: .venv/.dev
	$(MAKE) --jobs=2 --output-sync=target check-code check-tests

check-code:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-tests:
	$(BIN)/pytest -m "not slow" -q -n auto --maxprocesses=4 --dist worksteal

# All tests once, fast and slow in the same processes: each has TensorFlow to import, and all test modules.
test: .venv/.dev
	$(BIN)/python tools/find_chromium.py --install
	$(BIN)/python tools/find_faketime.py --install
	$(MAKE) --jobs=2 --output-sync=target install check-code docs
	$(BIN)/pytest -n 2 --dist worksteal $(addprefix --ignore=,$(BROWSER) $(ENGINE) $(FAULTS) $(PROCESSES))
	$(MAKE) --jobs=4 --output-sync=target test-browser test-engine test-faults test-processes

# The tests in their long form: all files of the corpora, more random examples; needs Debian's package sources.
test-all: export PICASSO_EVERYTHING = 1
test-all: test

test-browser:
	$(BIN)/pytest $(BROWSER)

test-engine:
	$(BIN)/pytest $(ENGINE)

test-faults:
	$(BIN)/pytest $(FAULTS)

test-processes:
	$(BIN)/pytest $(PROCESSES)

# The documentation as pages: docs/_build/index.html.
docs: .venv/.dev
	$(BIN)/sphinx-build -W --keep-going --quiet -b html docs docs/_build

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Known holes in what is installed, by PyPI's list of them; in an environment of its own, which is not looked at.
audit: .venv/.dev
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit \
		&& .venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; }
	.venv-audit/bin/pip-audit --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		--skip-editable $(ARGS)

# Picasso beside other libraries; half an hour to forty minutes on a quiet machine. ARGS=--quick shows that it works.
bench: benchmarks/.venv/.installed install
	benchmarks/.venv/bin/python -m benchmarks $(ARGS)

# The other libraries, beside what .venv has.
benchmarks/.venv/.installed: benchmarks/peers.txt .venv/.installed
	$(BIN)/python -m venv --clear benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/peers.txt
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> $$(benchmarks/.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/picasso.pth
	@touch $@

# A hundred visitors at once, for two minutes; ARGS="--minutes 30".
load: benchmarks/.venv-load/.installed install
	benchmarks/.venv-load/bin/python -m benchmarks.load $(ARGS)

# Locust replaces sockets and threads by its own: it stays out of .venv.
benchmarks/.venv-load/.installed: benchmarks/load.txt .venv/.installed
	$(BIN)/python -m venv --clear benchmarks/.venv-load
	benchmarks/.venv-load/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/load.txt
	@touch $@

screenshots: .venv/.dev install
	$(BIN)/python tools/screenshots.py

clean:
	rm -rf .venv .venv-audit benchmarks/.venv benchmarks/.venv-load benchmarks/.cache docs/_build build *.egg-info
