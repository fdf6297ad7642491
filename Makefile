# Everything that a person can do here. `make help` lists it.

BIN := .venv/bin
CODE := src tests benchmarks scripts
PYTEST_ARGS ?= -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup toolchains demo test soak check fmt lint types bench docs lock clean

help: ## List what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv with the locked packages and wasmgrid itself
	@scripts/bootstrap

toolchains: setup ## Install the compilers that demo and tests use (once per user, shared by all grids)
	@$(BIN)/wasmgrid toolchain install || echo "make: what needs a toolchain that cannot be had is left out" >&2

demo: setup ## Show the main job: compile, match, run and give back programs in nine languages
	@$(BIN)/python scripts/demo.py

test: toolchains ## Run every test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

soak: toolchains ## Run the long forms: 100,000 seeds of the simulator, ten minutes of chaos (docs/reliability.md)
	$(BIN)/python scripts/soak.py
	$(BIN)/python scripts/chaos.py

check: lint types test ## Everything that must hold before a commit: format, lint, types, tests

fmt: setup ## Format the code, and fix what the linter can fix
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

lint: setup ## Check format and lint
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

types: setup ## Check types (mypy --strict)
	$(BIN)/mypy

bench: toolchains ## Measure speed and memory, peers beside it; python -m benchmarks render fills the documents
	$(BIN)/python -m benchmarks

docs: setup ## Build the documents as a site, strictly (build/site), and renew the table of hostile inputs in them
	$(BIN)/python scripts/hostile.py
	$(BIN)/python -m scripts.docs

lock: ## Resolve requirements/dev.txt anew from pyproject.toml (needs uv)
	uv pip compile --quiet pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-annotate --custom-compile-command "make lock" --output-file requirements/dev.txt

clean: ## Remove the environment and every cache of this checkout (not the toolchains, not a grid's home)
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
