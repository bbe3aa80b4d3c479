"""Provenance of the run: data, code, parameters, software."""

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from platform import python_version
from typing import Any

from markupsafe import Markup

from pipeline.core.git import GitError, git, head
from pipeline.core.machine import describe_machine
from pipeline.report.chapter import Chapter
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


def provenance(chapters: Sequence[Chapter], parameters: Mapping[str, Any], dag: Markup) -> Section:
    """The section on the run: the data of each chapter, the code, and all of params.yaml as nested mappings."""
    facts = [
        *((f"Data of {chapter.study}", _data(chapter)) for chapter in chapters),
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


def _data(chapter: Chapter) -> str:
    return chapter.data if chapter.input_sha256 is None else f"{chapter.data}; SHA-256 {chapter.input_sha256}"
