"""Shared by the benchmarks on measured data: run the stages with other parameters in a separate folder."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def laid_over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above` in it; mappings are merged, all else is replaced; but columns as a whole."""
    merged = dict(below)
    for key, value in above.items():
        nested = isinstance(value, dict) and isinstance(below.get(key), dict) and key != "columns"
        merged[key] = laid_over(below[key], value) if nested else value
    return merged


@contextlib.contextmanager
def working_in(folder: str) -> Iterator[None]:
    """Change to a folder, as stages read and write below the working directory, and hide their output."""
    before = Path.cwd()
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def commit() -> str:
    """The commit of the code about to run, determined before anything is written."""
    return subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
