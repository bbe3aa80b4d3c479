# `make run` and `make test` need only Python (3.11 to 3.13), git and make; the rest is installed here, once.
SHELL := /bin/sh
VENV  := .venv
CORES ?= all

# Every program below comes from the environment; telemetry is off.
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
		echo "reports/ differ from the committed ones (git diff --stat reports): changed code or parameters, or another processor; see README, Other processors"

test: env ## run the tests
	@sh envs/browser
	@OMP_NUM_THREADS=1 pytest -n auto --dist loadfile --no-loadscope-reorder

check: env ## check lint, formatting, types and generated files
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

generate: env ## regenerate plan.yaml, the schema of params.yaml and the picture of the DAG
	python -m pipeline plan
	python -m pipeline schema --write
	python -m pipeline dag --write

ui: env ## browse the runs on http://127.0.0.1:5000
	@python -m pipeline track
	mlflow ui --host 127.0.0.1 --port 5000 --backend-store-uri sqlite:///mlflow.db

ttnn: ## create the TTNN environment for ttnn_benchmark, or use that of TTNN_PYTHON=/path/to/python
	@TTNN_PYTHON="$(TTNN_PYTHON)" sh envs/ttnn/setup .venv-ttnn envs/ttnn/installed.json

lock: ## regenerate requirements.lock from pyproject.toml
	@sh envs/lock

clean: ## remove the environment and all untracked outputs of the pipeline
	rm -rf $(VENV) .venv-ttnn envs/ttnn/installed.json .stamps .snakemake .checkpoints mlflow.db mlartifacts outputs dvc_plots
	rm -rf data/code data/inputs data/settings data/raw data/processed models
	rm -rf reports/chapters reports/pages reports/report.html reports/*/*/details reports/*/*/scores
