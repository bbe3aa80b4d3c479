"""`python -m pipeline fetch NAME`: download a public data set and put it under DVC."""

import argparse
import subprocess
import sys

from pipeline.commands.catalogue import fetch, read_catalogue, select
from pipeline.core import paths
from pipeline.core.errors import ExpectedError, without_password
from pipeline.core.files import sha256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="data set of the catalogue; without it, list all")


def run(arguments: argparse.Namespace) -> None:
    """Download, or list."""
    entries = read_catalogue(paths.CATALOGUE)
    if arguments.name is None:
        for name, entry in entries.items():
            print(f"{name}: {entry.description}\n    licence: {entry.licence}; cite: {entry.citation}")
        return
    entry = select(entries, arguments.name)
    print(f"fetching {without_password(entry.url)}")
    path = fetch(entry, paths.FETCHED)
    added = subprocess.run(
        [sys.executable, "-m", "dvc", "add", "--quiet", str(path)], capture_output=True, text=True, check=False
    )
    if added.returncode != 0:
        raise ExpectedError(f"{path} was downloaded, but `dvc add` failed: {added.stderr.strip()}")
    print(f"downloaded {path}; commit {path}.dvc")
    if entry.hash is None and not entry.files:
        print(f"its hash was not known: {path}.dvc records that of this download, sha256:{sha256(path)}")
    if entry.study:
        print(f"a study of it, for params.yaml (or a file, for `python -m pipeline add FILE`):\n{entry.lines}")
    print(f"licence: {entry.licence}; cite: {entry.citation}")
