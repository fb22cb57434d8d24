# make demo | make test | make pages | make docs | make release | make gpu | make clean
# PYTHON makes the virtual environment VENV; TORCH is what pip is asked for if VENV has no torch yet.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= -c constraints.txt torch
DEMO_ARGS ?=
GPU_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := $(VENV)/.hilbertune

.PHONY: help demo test lint pages docs release gpu clean

help:
	@echo 'make demo    install, then train on 512 sentences (flags: DEMO_ARGS="--seeds 3")'
	@echo 'make test    install, then format check, lint, types, tests with coverage'
	@echo 'make pages   run the notebooks and look at the report in a browser'
	@echo 'make docs    build the documentation into site/'
	@echo 'make release build wheel and sdist into dist/, check them, install each in an empty environment and train there'
	@echo 'make gpu     check and time the GPU engine with the packages that PYTHON has (MINUTES=5, OUT=folder of gpu.json)'
	@echo 'make clean   remove .venv and everything that was built'
	@echo 'Python: make test PYTHON=python3.12     Your own environment and torch: make test VENV="$$VIRTUAL_ENV"'

demo: $(STAMPS)/demo
	$(BIN)/hilbertune demo $(DEMO_ARGS)

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=95 --durations=20 --no-unexpected-skips $(TEST_ARGS)

lint: $(STAMPS)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

pages: $(STAMPS)/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow --no-unexpected-skips tests/test_notebooks.py tests/report/test_browser.py

docs: $(STAMPS)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

release: $(STAMPS)/dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	PYTHON=$(BIN)/python .ci/installed

# For a plain CUDA image: nothing is installed, and no virtual environment is made.
gpu:
	PYTHONPATH=src $(PYTHON) -u benchmarks/gpu.py $(if $(MINUTES),--minutes $(MINUTES)) $(GPU_ARGS)

clean:
	rm -rf .venv build dist site htmlcov .coverage* .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# torch comes first and alone: asked for together with the rest, pip may choose a build with
# gigabytes of GPU libraries. A torch that is there already is kept.
$(STAMPS)/torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Hilbertune needs Python 3.11 to 3.13: name one with make PYTHON=...")'
	test -e $(BIN)/pip || { $(PYTHON) -m venv $(VENV) && $(PIP) install --quiet --upgrade pip; }
	$(PIP) show --quiet torch || $(PIP) install $(TORCH)
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/demo: pyproject.toml $(STAMPS)/torch
	$(PIP) install --editable '.[demo]'
	touch $@

$(STAMPS)/dev: pyproject.toml $(STAMPS)/torch
	$(PIP) install --editable '.[dev]'
	# Ray cannot be imported beside it on a machine without ROCm.
	test -e /opt/rocm || $(PIP) uninstall --yes amdsmi
	touch $(STAMPS)/demo $@

$(STAMPS)/docs: pyproject.toml $(STAMPS)/torch
	$(PIP) install --editable '.[docs]'
	touch $@
