#!/bin/sh
# scGen and CellFlow in environments of their own: benchmarks/peers/scgen/.venv and benchmarks/peers/cellflow/.venv.
# They run on the processor alone. Where the package index has builds of torch with CUDA only, scGen's environment has
# one of these: some gigabytes more, and not used.
set -eu
cd "$(dirname "$0")"
for peer in ${*:-scgen cellflow}; do
    python3.11 -m venv "$peer/.venv"
    "$peer/.venv/bin/pip" install --quiet --disable-pip-version-check -r "$peer/requirements.txt"
done
