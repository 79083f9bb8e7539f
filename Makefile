# make demo: simulate the network that ships and write report.html. make test: install everything and run the tests.
PYTHON ?= python3
BIN := .venv/bin
TEST_TOOLS := iverilog verilator yosys qflow-tech-osu018 qflow-tech-osu035 chromium
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-setup test-tools lint docs compat coverage bench soak clean

demo: .venv/demo-installed
	$(BIN)/python -m adderhw.simulate --report report.html

test: .venv/test-installed
	$(BIN)/python -m pytest --numprocesses auto

test-setup: .venv/test-installed test-tools

# Simulators and synthesis for the tests of the hardware, a browser for that of the page, where apt-get may install them.
test-tools:
	@if [ -x "$$(command -v iverilog)" ] && [ -x "$$(command -v verilator)" ] && [ -x "$$(command -v yosys)" ] \
	  && [ -x "$$(command -v chromium)" ] \
	  && [ -d /usr/share/qflow/tech/osu018 ] && [ -d /usr/share/qflow/tech/osu035 ]; then exit 0; fi; \
	if [ -x "$$(command -v apt-get)" ] && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && apt-get install -y -qq $(TEST_TOOLS) && exit 0; \
	elif [ -x "$$(command -v apt-get)" ] && sudo -n true 2>/dev/null; then \
	  sudo apt-get update -qq && sudo apt-get install -y -qq $(TEST_TOOLS) && exit 0; fi; \
	echo "the tests of hardware and page need: apt-get install $(TEST_TOOLS)"

lint: .venv/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The pages of docs/ and the reference from docstrings, into build/site; a warning is an error.
docs: .venv/test-installed
	$(BIN)/python -m mkdocs build --quiet --strict

# The lowest and newest versions that setup.cfg admits, on every Python that is found.
compat:
	$(PYTHON) -m tests.compat

# Lines and branches of adderhw and quant that the tests run, kernels' generators too (a cache of its own); then the
# loops of quant as Python.
coverage: .venv/test-installed
	rm -rf build/coverage
	mkdir -p build/coverage
	NUMBA_CACHE_DIR=build/coverage/cache $(BIN)/coverage run -m pytest --quiet
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest --quiet tests/quant/test_plain_loops.py
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --fail-under 95

bench: .venv/test-installed
	$(BIN)/python -m benchmarks.kernels
	$(BIN)/python -m benchmarks.networks
	$(BIN)/python -m benchmarks.processes
	$(BIN)/python -m benchmarks.training

# Random networks computed in every way there is; about ten minutes, after kernels are compiled.
soak: .venv/test-installed
	$(BIN)/python -m tests.soak --networks 5000 --seed 0

.venv/bin/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed')"
	$(PYTHON) -m venv .venv

.venv/demo-installed: setup.cfg pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .
	touch $@

.venv/test-installed: setup.cfg pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .[dev]
	touch $@ .venv/demo-installed

clean:
	rm -rf .venv build report.html
