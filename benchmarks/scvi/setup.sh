#!/bin/sh
# scvi-tools in an environment of its own: benchmarks/scvi/.venv
set -eu
cd "$(dirname "$0")"
python3.11 -m venv .venv
.venv/bin/pip install --quiet -r requirements.txt
