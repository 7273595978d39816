# Every target uses the virtual environment .venv and creates it if it is missing.

PYTHON ?= python3
RECIPE ?= model3-tuned
RUN ?=
CSV ?= submissions/$(RECIPE).csv
MESSAGE ?= $(RECIPE)
ARGS ?=

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints/newest.txt
CLI := $(BIN)/kaggle-cifar
DEMO := $(CLI) --data-dir demo/data --runs-dir demo/runs --submissions-dir demo/submissions
DEMO_EPOCHS := 16

# Kaggle's image: its Python, and the packages that it lacks or has in an older version.
KAGGLE_PYTHON := 3.12
KAGGLE_LACKS := py7zr kaggle six

# Whether to install CUDA for TensorFlow: as GPU says, as an earlier GPU=no said, or if the driver lists a GPU.
WITH_GPU = $(or $(filter yes no,$(GPU)),$(shell cat .venv/installed 2>/dev/null),$(GPU_FOUND))
GPU_FOUND = $(shell [ "$$(uname -s)" = Linux ] && nvidia-smi -L 2>/dev/null | grep -q '^GPU' && echo yes)
EXTRA = $(if $(filter yes,$(WITH_GPU)),[gpu])

.DEFAULT_GOAL := help
.PHONY: help setup gpu doctor download train predict check submit report demo test \
  test-versions lint docs wheels constraints clean

help: ## List the targets
	@echo "make TARGET [VARIABLE=value …]"
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15 | sed 's/^/  /'
	@echo "Variables: RECIPE=model3-tuned  RUN=  CSV=submissions/RECIPE.csv  MESSAGE=RECIPE"
	@echo "           ARGS=\"more options\"  PYTHON=python3  GPU=no (setup without CUDA)"

setup: .venv/installed ## Install the package and its dependencies into .venv

gpu: .venv/installed ## Install TensorFlow's libraries for NVIDIA GPUs
	$(INSTALL) --editable ".[gpu]"

doctor: .venv/installed ## Check this machine and your Kaggle account
	$(CLI) doctor

download: .venv/installed ## Download, verify and extract Kaggle's files
	$(CLI) download $(ARGS)

train: .venv/installed ## Train RECIPE, or resume its unfinished run
	$(CLI) train $(RECIPE) $(ARGS)

predict: .venv/installed ## Predict the test images with RUN (default: the newest)
	$(CLI) predict $(RUN) $(ARGS)

check: .venv/installed ## Check whether Kaggle will accept CSV
	$(CLI) check $(CSV) $(ARGS)

submit: .venv/installed ## Submit CSV with MESSAGE and wait for the scores
	$(CLI) submit $(CSV) --message "$(MESSAGE)" --wait $(ARGS)

report: .venv/installed ## Write runs/RUN/report.html for RUN (default: the newest)
	$(CLI) report $(RUN) $(ARGS)

demo: .venv/installed ## Run every step on a small sample in demo/, without Kaggle
	$(DEMO) sample demo/data/raw
	$(DEMO) extract
	$(DEMO) train model3-tuned --epochs $(DEMO_EPOCHS)
	$(DEMO) predict model3-tuned
	$(DEMO) check demo/submissions/model3-tuned.csv --solution demo/data/raw/solution.csv
	$(DEMO) report model3-tuned
	@echo
	@echo "The demo is complete. Look at:"
	@echo "  demo/data/train/                      images of ten shapes under the class names"
	@echo "  demo/runs/index.html                  the table of runs, with links to their pages"
	@echo "  demo/submissions/model3-tuned.csv     the predictions that you would submit"
	@echo "For the real competition, run make doctor, then make download train predict submit."

test: .venv/tested ## Run the tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-versions: .venv/bin/python ## Run the tests of the whole way on other versions and Pythons
	$(BIN)/python tools/test_versions.py

lint: .venv/tested ## Check style, types, imports and words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_words.py

docs: .venv/documented ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheels: .venv/installed ## Collect the wheels for Kaggle sessions without internet in build/wheels
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheels .
	$(BIN)/python -m pip download --quiet --constraint constraints/newest.txt --only-binary=:all: \
	  --python-version $(KAGGLE_PYTHON) --platform manylinux_2_28_x86_64 \
	  --platform manylinux_2_17_x86_64 --dest build/wheels $(KAGGLE_LACKS)
	@echo "Upload the folder build/wheels to Kaggle as a dataset."

constraints: .venv/bin/python # update the versions in constraints/
	$(BIN)/python -m pip install --quiet uv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/update_constraints.py $(or $(ARGS),newest lowest)

clean: ## Remove .venv if make created it
	@if [ -L .venv ] || { [ -e .venv ] && [ ! -e .venv/made-by-make ]; }; then \
	  echo "make did not create .venv, so it is kept."; \
	else rm -rf .venv; fi

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is missing or older than Python 3.11. Set PYTHON=…"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch .venv/made-by-make
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

.venv/installed: .venv/bin/python pyproject.toml constraints/newest.txt
	@echo "Installing into .venv (a few minutes, because TensorFlow is large) …"
	@$(if $(EXTRA),echo "Installing CUDA as well because the driver lists an NVIDIA GPU. make setup GPU=no declines.")
	$(INSTALL) --editable ".$(EXTRA)" || { $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 14))' && \
	  echo "Python 3.14 may be too new for TensorFlow. Run make clean, then make setup PYTHON=python3.13."; exit 1; }
	@echo "$(filter no,$(WITH_GPU))" > $@

.venv/tested: .venv/installed
	$(INSTALL) --group dev
	@touch $@

.venv/documented: .venv/bin/python pyproject.toml constraints/newest.txt
	$(INSTALL) --group docs
	@touch $@
