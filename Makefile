# The tasks of a contributor: `make` lists them. They use the environment in .venv, which `make install` makes
# with python3, or with another one: make install PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install fast test gate style format docs generated figures pictures findings

help: ## list the tasks
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

install: ## make .venv, with all that tests and documentation need
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -e '.[dev]'

fast: ## the tests that take a minute
	$(BIN)/pytest -m 'not slow'

test: ## the tests of the README
	$(BIN)/pytest

gate: ## all that decides whether a change is accepted, in a new environment
	.ci/run

style: ## style and types, as the gate checks them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

format: ## mend the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: ## build the pages of docs/ in site/, and check every link
	$(BIN)/mkdocs build --strict

generated: ## write the generated parts of the pages, and the golden tables, again
	UPDATE_DOCS=1 $(BIN)/pytest -n 0 -q tests/house/test_docs.py
	UPDATE_GOLDEN=1 $(BIN)/pytest -n 0 -q tests/cli/test_cli_summary.py tests/cli/test_cli_sweep_tables.py

figures: ## write every figure of a result file again
	$(BIN)/python benchmarks/figures.py

pictures: ## draw the terminal pictures of the README again
	$(BIN)/python docs/pictures/make.py

findings: ## run every finding, which needs a package index
	findings/run
