# make demo and make test work on a fresh machine with Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := runs/demo
DEMO_FLAGS := --env.actuators 9 --env.walls released --seeds 4 --total-timesteps 400000
RESUME := --resume

.DEFAULT_GOAL := help
.PHONY: help setup demo test testall interop lint format bench clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## Make a virtual environment with everything in it

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

demo: $(READY) ## JSAE against plain VPG on 512 actions: tables and pictures, in minutes
	$(BIN)/embrl train gridworld $(DEMO_FLAGS) --method jsae --out $(DEMO)/jsae $(RESUME)
	$(BIN)/embrl train gridworld $(DEMO_FLAGS) --method none --out $(DEMO)/none $(RESUME)
	$(BIN)/embrl plot $(DEMO)/jsae
	$(BIN)/embrl compare $(DEMO)/jsae $(DEMO)/none --baseline none --level 0.5 --out $(DEMO)

test: $(READY) ## Run the tests
	$(BIN)/pytest -n 2

testall: $(READY) ## Run the slow tests, too
	$(BIN)/pytest -n 2 -m "slow or not slow"

interop: $(READY) ## Install Stable-Baselines3 and TorchRL, and run what needs them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,interop]'
	$(BIN)/pytest -n 2 tests/interop tests/test_examples_interop.py tests/test_tutorial.py

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(READY) ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Measure speed against rivals in the same run
	$(BIN)/python -m benchmarks

clean: ## Remove the virtual environment and the demo's runs
	rm -rf $(VENV) $(DEMO)
