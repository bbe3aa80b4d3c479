"""Provenance of the run: data, code, parameters, software."""

import sys
from collections.abc import Mapping
from importlib.metadata import version
from platform import python_version
from typing import Any

from markupsafe import Markup

from pipeline.core.git import GitError, git, head
from pipeline.core.machine import describe_machine
from pipeline.report.numbers import counted
from pipeline.report.page import Block, Cell, Drawing, Facts, Section, Table
from pipeline.report.parameters import flattened

# Packages that affect results; requirements.lock has the rest.
PACKAGES = ("torch", "numpy", "pandas", "scipy", "scikit-learn", "scanpy", "anndata", "accelerate", "pyarrow", "dvc")

# Written by the run itself, so not part of the code that ran.
_RESULTS = (":(exclude)dvc.lock", ":(exclude)reports")


def describe_code() -> str:
    """The commit of the surrounding git repository, and uncommitted changes.

    Without a commit, the reason given by git; a line on stderr says so, too.
    """
    try:
        commit = head()
        changes = git("status", "--porcelain", "--", ".", *_RESULTS).decode(errors="replace")
    except GitError as error:
        print(f"note: the report names no commit; {error}", file=sys.stderr)
        return f"unknown: there is no commit; {error}"
    files = [line[3:] for line in changes.splitlines()]
    if not files:
        return f"git commit {commit}, without uncommitted changes (results aside)"
    more = f" and {len(files) - 5} more" if len(files) > 5 else ""
    return f"git commit {commit}, with uncommitted changes: {', '.join(files[:5])}{more}"


def made_by() -> str:
    """The short commit hash and its date, for the first screen; without a commit, a sentence saying so."""
    try:
        commit, day = git("show", "--no-patch", "--format=%h %cs", "HEAD").decode().split()
        changed = bool(git("status", "--porcelain", "--", ".", *_RESULTS))
    except GitError:
        return "No commit: see What was run."
    return f"Commit {commit} of {day}" + (", with uncommitted changes" if changed else "")


def provenance(dataset: Mapping[str, Any], parameters: Mapping[str, Any], dag: Markup) -> Section:
    """The section on the run: `dataset` is dataset.json, `parameters` all of params.yaml as nested mappings."""
    splits = ", ".join(f"{name} {split['cells']:,} cells" for name, split in dataset["splits"].items())
    held_out = "; ".join(f"{pair['perturbation']} in {pair['cell_type']}" for pair in dataset["held_out"])
    categories = dataset["categories"]
    batches = len(categories["batch"])
    facts = [
        ("Data", dataset["description"]),
        ("Input's SHA-256", dataset["input_sha256"]),
        (
            "Size",
            f"{counted(dataset['genes'], 'gene')}, {counted(len(categories['cell_type']), 'cell type')}, "
            f"{batches} batch{'es' * (batches != 1)}, "
            f"{counted(len(categories['perturbation']) - 1, 'perturbation')} beside {dataset['control']}",
        ),
        ("Split", f"{splits}; held out: {held_out or 'nothing'}"),
        ("Code", describe_code()),
        ("Machine", describe_machine()),
        ("Software", f"Python {python_version()}, " + ", ".join(f"{name} {version(name)}" for name in PACKAGES)),
    ]
    rows = [(Cell(key), Cell(value)) for key, value in flattened(parameters)]
    blocks: list[Block] = [
        Drawing(dag, "The stages; arrows lead from a stage to those that read its outputs."),
        Facts(facts),
        Table(("parameter", "value"), rows, "", numeric=False, folded=f"All {len(rows)} parameters"),
    ]
    return Section("What was run", "run", "", blocks)
