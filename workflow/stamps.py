"""Stamps: the outputs Snakemake sees. One small file per stage, present if and only if DVC calls the stage up to date.

Snakemake deletes, touches and adds files to its outputs, so DVC's outputs are hidden from it.
"""

import json
import os
import sys
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from workflow.lock import read_lock

FOLDER = Path(".stamps")
FAILED = FOLDER / ".failed"  # last lines of stages that failed in this Snakemake run

# Time (seconds since 1970) of every stamp that was clean when Snakemake started: the same for all, so that none looks
# newer than another, and long past, so that the stamp of a stage that has just run does.
CLEAN_TIME = 1_000_000_000


def stamp_path(address: str) -> str:
    """Path of the stamp of a stage, relative to the project root."""
    return str(FOLDER / address)


def write_stamp(address: str, locked: dict[str, Any]) -> Path:
    """Write a stage's stamp: the hashes of its outputs in dvc.lock."""
    return _write(FOLDER / address, json.dumps(locked.get("outs", []), indent=1))


def reconcile(addresses: Iterable[str], changed: Container[str]) -> None:
    """Create the stamp of every stage that DVC calls clean, and remove all others.

    changed: addresses of the stages that DVC does not call clean, from `read_status`.
    """
    locked = read_lock()
    kept = {write_stamp(address, locked.get(address, {})) for address in addresses if address not in changed}
    for path in kept:
        os.utime(path, (CLEAN_TIME, CLEAN_TIME))
    for path in FOLDER.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink(missing_ok=True)


def write_failure(address: str, lines: Iterable[str]) -> None:
    """Keep the last lines of a failed stage for the end of the run."""
    _write(FAILED / address, "\n".join(lines))


def show_failures() -> None:
    """Print the last lines of each failed stage on stderr, since in a long run they have scrolled away."""
    for path in sorted(FAILED.rglob("*")):
        if path.is_file():
            print(f"\nfailed: {path.relative_to(FAILED)}", file=sys.stderr)
            print("\n".join(f"  {line}" for line in path.read_text(encoding="utf-8").splitlines()), file=sys.stderr)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(f"{text}\n", encoding="utf-8")
    partial.replace(path)
    return path
