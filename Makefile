# One command each: make up | down | demo | test | torture | check | bench | lock
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := up
.PHONY: up down demo test torture check bench lock set-up set-up-dev

# What one process has compiled the next one need not, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

SET_UP := deployments/one_machine/set_up.sh
EMF := .venv/bin/emf
COMPILE := .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

up: set-up ## the whole platform on this machine
	@$(EMF) up

down: ## and away again; what is stored stays
	@if [ -x $(EMF) ]; then $(EMF) down; else echo "Nothing runs: there is no .venv."; fi

demo: up ## a training, from a script to its curves
	@.venv/bin/python docs/examples/digits/demo.py

test: set-up-dev ## unit tests first, then those that start one engine, then those that start the platform
	.venv/bin/pytest -q -n 2 -m "not engine and not platform"
	.venv/bin/pytest -q -m "engine and not platform"
	.venv/bin/pytest -q -m platform

torture: export KILLS ?= 200
torture: export STEP_KILLS ?= all
torture: set-up-dev ## KILLS=n kills at random moments, and one before and after every step of a run: hours
	.venv/bin/pytest -q -s tests/platform/test_kills.py
	.venv/bin/pytest -q -s tests/platform/test_step_kills.py

check: set-up-dev ## style, types, layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright
	.venv/bin/lint-imports

bench: up ## what a start, a commit, staging in and a pass of reconcile cost, each beside something to compare with
	@for file in submit_to_first_line commit staging reconcile; do .venv/bin/python "benchmarks/$$file.py"; done

lock: set-up ## resolve again what pyproject.toml and the images ask for; what is locked and still fits stays
	$(COMPILE) pyproject.toml -o images/platform/requirements.lock
	$(COMPILE) -c images/platform/requirements.lock --group dev -o requirements-dev.lock
	for file in images/*/requirements.in; do $(COMPILE) --no-config "$$file" -o "$${file%.in}.lock"; done # the overrides are the platform's

set-up:
	@$(SET_UP)

set-up-dev:
	@$(SET_UP) dev
