# make demo: simulate the network that ships and write report.html. make test: install everything and run the tests.
PYTHON ?= python3
BIN := .venv/bin
HARDWARE_TOOLS := iverilog verilator yosys qflow-tech-osu018 qflow-tech-osu035
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-setup hardware-tools lint bench clean

demo: .venv/demo-installed
	$(BIN)/python -m adderhw.simulate --report report.html

test: .venv/test-installed
	$(BIN)/python -m pytest --numprocesses auto

test-setup: .venv/test-installed hardware-tools

# Simulators and synthesis for the tests of the hardware, where apt-get may install them; the tests say what they miss.
hardware-tools:
	@if [ -x "$$(command -v iverilog)" ] && [ -x "$$(command -v verilator)" ] && [ -x "$$(command -v yosys)" ] \
	  && [ -d /usr/share/qflow/tech/osu018 ] && [ -d /usr/share/qflow/tech/osu035 ]; then exit 0; fi; \
	if [ -x "$$(command -v apt-get)" ] && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && apt-get install -y -qq $(HARDWARE_TOOLS) && exit 0; \
	elif [ -x "$$(command -v apt-get)" ] && sudo -n true 2>/dev/null; then \
	  sudo apt-get update -qq && sudo apt-get install -y -qq $(HARDWARE_TOOLS) && exit 0; fi; \
	echo "the tests of the hardware need: apt-get install $(HARDWARE_TOOLS)"

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
