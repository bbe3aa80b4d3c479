# `make run` and `make test` need nothing but Python (3.11 to 3.13), git and make; everything else is set up here, once.
SHELL := /bin/sh
VENV  := .venv
CORES ?= all

# Every program below comes from the environment; nothing phones home.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help env run test check format generate ui ttnn lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(VENV)/.complete ## create or update the environment from requirements.lock

$(VENV)/.complete: requirements.lock envs/setup
	@sh envs/setup $(VENV)

run: env ## run the default DAG in parallel; the result is reports/report.html
	@snakemake --cores $(CORES)
	@echo "open reports/report.html; browse the runs with: make ui"
	@git diff --quiet HEAD -- reports 2>/dev/null; [ $$? -ne 1 ] || \
		echo "reports/ differ from the committed ones (git diff --stat reports): other code, parameters or another processor; see README, Other processors"

test: env ## run the tests
	@sh envs/browser
	@OMP_NUM_THREADS=1 pytest -n auto --dist loadfile --no-loadscope-reorder

check: env ## lint, formats, types, and what is generated and committed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile
	mypy
	python -m pipeline schema --check
	python -m pipeline dag --check

format: env ## format all code
	ruff check --fix .
	ruff format .
	snakefmt Snakefile

generate: env ## write the files made from the code: the schema of params.yaml, the picture of the DAG
	python -m pipeline schema --write
	python -m pipeline dag --write

ui: env ## browse the runs on http://127.0.0.1:5000
	@python -m pipeline.tracking
	mlflow ui --host 127.0.0.1 --port 5000 --backend-store-uri sqlite:///mlflow.db

ttnn: ## create TTNN's environment, or take the one of TTNN_PYTHON=/path/to/python: Tenstorrent's side of ttnn_benchmark
	@TTNN_PYTHON="$(TTNN_PYTHON)" sh envs/ttnn/setup .venv-ttnn envs/ttnn/installed.json

lock: ## resolve requirements.lock anew from pyproject.toml
	@sh envs/lock

clean: ## remove the environment and everything the pipeline made that git does not hold
	rm -rf $(VENV) .venv-ttnn envs/ttnn/installed.json .stamps .snakemake .checkpoints mlflow.db mlartifacts data/code data/raw data/processed models reports/chapters reports/*/details reports/report.html
