# Everything runs in a virtual environment of its own, which each target sets up where it is missing.

PYTHON ?= python3
RECIPE ?= model3-tuned
RUN ?=
CSV ?= submissions/$(RECIPE).csv
MESSAGE ?= $(RECIPE)
ARGS ?=

BIN := .venv/bin
CLI := $(BIN)/kaggle-cifar
DEMO := $(CLI) --data-dir demo/data --runs-dir demo/runs --submissions-dir demo/submissions
DEMO_EPOCHS := 16

.DEFAULT_GOAL := help
.PHONY: help setup gpu doctor download train predict check submit report demo test lint clean

help: ## tell what there is
	@echo "make TARGET [VARIABLE=value …]"
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12 | sed 's/^/  /'
	@echo "Variables: RECIPE=model3-tuned  RUN=  CSV=submissions/RECIPE.csv  MESSAGE=RECIPE"
	@echo "           ARGS=\"further options\"  PYTHON=python3"

setup: .venv/installed ## install the package and what it needs into .venv

gpu: .venv/installed ## add what TensorFlow needs for NVIDIA's GPUs
	$(BIN)/python -m pip install --quiet --editable ".[gpu]"

doctor: .venv/installed ## is all there that it takes?
	$(CLI) doctor

download: .venv/installed ## bring Kaggle's files to data/, verified and extracted
	$(CLI) download $(ARGS)

train: .venv/installed ## train RECIPE, or go on with it
	$(CLI) train $(RECIPE) $(ARGS)

predict: .venv/installed ## predict the test images with RUN (default: the newest)
	$(CLI) predict $(RUN) $(ARGS)

check: .venv/installed ## is CSV a file that Kaggle accepts?
	$(CLI) check $(CSV) $(ARGS)

submit: .venv/installed ## submit CSV with MESSAGE and wait for the score
	$(CLI) submit $(CSV) --message "$(MESSAGE)" --wait $(ARGS)

report: .venv/installed ## write the page of RUN (default: the newest): runs/RUN/report.html
	$(CLI) report $(RUN) $(ARGS)

demo: .venv/installed ## the whole way on a small sample, without Kaggle, in demo/
	$(DEMO) sample demo/data/raw
	$(DEMO) extract
	$(DEMO) train model3-tuned --epochs $(DEMO_EPOCHS)
	$(DEMO) predict model3-tuned
	$(DEMO) check demo/submissions/model3-tuned.csv --solution demo/data/raw/solution.csv
	$(DEMO) report model3-tuned
	@echo
	@echo "That was the whole way. Look at:"
	@echo "  demo/data/train/                      images of ten shapes under the class names"
	@echo "  demo/runs/index.html                  the table of runs, with a link to this one's page"
	@echo "  demo/submissions/model3-tuned.csv     what one would submit"
	@echo "The real competition: make doctor, then make download train predict submit."

test: .venv/tested ## run all tests
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/tested ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove the virtual environment that make made
	@if [ -L .venv ] || { [ -e .venv ] && [ ! -e .venv/made-by-make ]; }; then \
	  echo ".venv was not made by make: it is left as it is."; \
	else rm -rf .venv; fi

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is older or missing. Set PYTHON=…"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch .venv/made-by-make
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

.venv/installed: .venv/bin/python pyproject.toml
	@echo "Installing into .venv (TensorFlow is large: a few minutes on a slow line) …"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@
