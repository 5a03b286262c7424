.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The constraints file holds the versions this project was tested with; the ranges in pyproject.toml stay wide.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# peft imports bitsandbytes wherever it is installed, which takes a second of every start, and trackio would bring another
# event loop for every server: the tests that need them look for them apart from the rest.
OPTIONAL := $(VENV)/optional
# Two test workers, one thread each: more threads than cores would only wait for each other.
WORKERS ?= 2

# Tools that look at an environment without being in it.
AUDIT := .venv-audit

.PHONY: help install install-dev quickstart test parity nightly knowledge shipped-model docs reference check format sbom audit dist demo clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: install ## Install, then run the whole method on synthetic patients (about ten minutes)
	$(BIN)/clinragen quickstart

test: install-dev ## Install with the developer's tools, then run the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

parity: install-dev ## Compare MIMIC-III cohorts with the original mimic3-benchmarks code (needs the reference data)
	$(BIN)/python benchmarks/parity.py

nightly: install-dev ## Run everything at full length and write the results below benchmarks/results (hours)
	$(BIN)/python benchmarks/nightly.py

knowledge: install-dev ## Make the shipped knowledge base again, after a change of a vocabulary file or the corpus
	$(BIN)/python -m clinragen.knowledge.shipped

shipped-model: install-dev ## At a release only: ship the model of RUN (default runs/quickstart) and 20 of its patients
	$(BIN)/python -m clinragen.shipped_model.make $(or $(RUN),runs/quickstart)

docs: install-dev ## Build the documentation site, build/docs/site, without a network
	$(BIN)/python docs/build_site.py

reference: install-dev ## Write docs/settings.md, the reference of all settings, again
	$(BIN)/python -m clinragen.pipeline.reference

check: install-dev ## Lint, format, spelling, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy

format: install-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sbom: install $(AUDIT)/.installed ## Write sbom.json, the list of everything installed, as CycloneDX
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --short-PURLs --output-reproducible \
		--output-file sbom.json $(BIN)/python

audit: install $(AUDIT)/.installed ## Look up known vulnerabilities of everything installed (asks PyPI)
	$(AUDIT)/bin/pip-audit --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

dist: $(AUDIT)/.installed ## Build the wheel and the source distribution into dist/, and check them
	rm -rf dist
	$(AUDIT)/bin/python -m build --outdir dist
	$(AUDIT)/bin/python -m twine check --strict dist/*

demo: install ## Install the page as well, and open it with the shipped model
	$(INSTALL) --editable '.[demo]'
	$(BIN)/clinragen demo

$(AUDIT)/.installed: Makefile
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7.5,<8' 'pip-audit>=2.10,<3' \
		'build>=1.3,<2' 'twine>=6,<8'
	@touch $@

install: $(VENV)/.installed ## Make the virtual environment

install-dev: $(VENV)/.installed-dev ## The same with the developer's tools

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "clinragen needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	$(INSTALL) --target $(OPTIONAL) --no-deps --upgrade 'bitsandbytes>=0.49' 'trackio>=0.40'
	@touch $@ $(VENV)/.installed

clean: ## Remove the virtual environment and all runs
	rm -rf $(VENV) $(AUDIT) sbom.json runs
