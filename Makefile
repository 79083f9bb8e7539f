# make demo: simulate the network that ships and write report.html. make test: install everything and run the tests.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-setup lint bench clean

demo: .venv/demo-installed
	$(BIN)/python -m adderhw.simulate --report report.html

test: .venv/test-installed
	$(BIN)/python -m pytest --numprocesses auto

test-setup: .venv/test-installed

lint: .venv/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/test-installed
	$(BIN)/python -m benchmarks.kernels
	$(BIN)/python -m benchmarks.resnet20
	$(BIN)/python -m benchmarks.training

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
	rm -rf .venv report.html
