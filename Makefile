# make demo and make test work on a fresh machine with Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Bytecode of what is never imported takes most of an installation's time.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
DEMO := runs/demo
DEMO_FLAGS := --env.actuators 9 --env.walls released --seeds 4 --total-timesteps 200000
# PPO as it is best without an embedding (results/sweeps).
DEMO_RIVAL := --method none --ppo.actor-lr 3e-3 --ppo.critic-lr 1e-2 --ppo.gamma 0.99
RESUME := --resume
PAGES := build/docs
# Skipped by `make test` where the store is not installed.
STORE_PAGES := 'tests/documentation/test_doc_code.py::test_a_page_runs_as_it_stands[docs/store.md]' \
	'tests/documentation/test_doc_code.py::test_a_page_runs_as_it_stands[docs/tutorials/served_recommender.md]'
# Those of the wrappers need neither library, and are among `make test`'s.
INTEROP := tests/interop --ignore tests/interop/test_wrappers.py tests/test_examples_interop.py tests/test_tutorial.py \
	tests/store tests/serving tests/explorer tests/envs/host/test_ale.py $(STORE_PAGES)

.DEFAULT_GOAL := help
# Without bytecode, each process compiles what it imports anew: three of the four seconds of a start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test testall pages lean interop lint format bench docs dist clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## Make a virtual environment with everything in it

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[dev]'
	@touch $(READY)

demo: $(READY) ## Our best against tuned PPO on 512 actions: tables and pictures, in minutes
	$(BIN)/embrl train gridworld $(DEMO_FLAGS) --method jsae --out $(DEMO)/jsae $(RESUME)
	$(BIN)/embrl train gridworld $(DEMO_FLAGS) $(DEMO_RIVAL) --out $(DEMO)/none $(RESUME)
	$(BIN)/embrl plot $(DEMO)/jsae
	$(BIN)/embrl compare $(DEMO)/jsae $(DEMO)/none --baseline none --level 0.5 --out $(DEMO)

test: $(READY) ## Run the tests
	$(BIN)/pytest -n 2

testall: $(READY) ## Run the slow tests and those of pages, too
	$(BIN)/pytest -n 2 -m "slow or not slow"

pages: $(READY) ## Run the examples, and the Python and the commands of the documentation
	$(BIN)/pytest -n 2 -m "pages and not slow" tests/documentation tests/test_extending.py tests/test_examples.py

lean: $(READY) ## Test the wheel where nothing but its dependencies is installed
	$(BIN)/pytest -n 0 -m slow tests/test_packaging.py

interop: $(READY) ## Install Stable-Baselines3, TorchRL and the extras that tests use, and run what needs them
	$(INSTALL) -e '.[dev,interop,store,serve,browser,ray,search,text,transformer,dialogues,translation,atari]'
	$(BIN)/pytest -n 2 $(INTEROP)

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(READY) ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Measure speed against rivals in the same run
	$(BIN)/python -m benchmarks

# What the pages show and link to is copied at its paths in the repository, so that links are the same in both.
docs: $(READY) ## Build the documentation into site/
	$(INSTALL) -e '.[dev,docs]'
	rm -rf $(PAGES) site
	mkdir -p $(PAGES)
	git ls-files -z --cached --others --exclude-standard ':(glob)*.md' LICENSE docs examples results \
		| tar -cf - --null -T - | tar -xf - -C $(PAGES)
	$(BIN)/zensical build --clean --strict

dist: $(READY) ## Build the wheel and the sdist into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist

clean: ## Remove the virtual environment, the demo's runs and what was built
	rm -rf $(VENV) $(DEMO) build dist site
