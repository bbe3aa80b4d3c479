"""Stamps: the outputs Snakemake sees. One small file per stage, present where it is up to date, and all above it.

Snakemake deletes, touches and adds files to its outputs, so DVC's outputs are hidden from it.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.finished import list_files
from workflow.lock import read_lock

if TYPE_CHECKING:
    from workflow.dag import Stage

FOLDER = Path(".stamps")
FORCED = FOLDER / ".forced"  # an empty file per stage that this Snakemake run is to rerun in any case


def stamp_path(address: str) -> str:
    """Path of the stamp of a stage, relative to the project root."""
    return str(FOLDER / address)


def write_stamp(address: str, locked: dict[str, Any]) -> Path:
    """Write a stage's stamp: the hashes of its outputs in dvc.lock."""
    return _write(FOLDER / address, json.dumps(locked.get("outs", []), indent=1))


def reconcile(clean: Iterable["Stage"]) -> None:
    """Create the stamp of every stage that is up to date, dated when it finished, and remove all others.

    A stamp may be newer than one that depends on it: its stage ran again and made the same. Snakemake leaves that
    be, since the checksum is the one in its record of the other (`workflow.records`).
    """
    locked = read_lock()
    kept = set()
    for stage in clean:
        path = write_stamp(stage.address, locked.get(stage.address, {}))
        os.utime(path, ns=(finished_at(stage), finished_at(stage)))
        kept.add(path)
    for path in FOLDER.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink(missing_ok=True)


def finished_at(stage: "Stage") -> int:
    """When the newest file among its outputs was written here (ns since 1970), by the stage, `dvc checkout` or git."""
    return max((changed for _, changed in list_files(stage.outs).values()), default=0)


def force(addresses: Iterable[str]) -> None:
    """Have the jobs of this Snakemake run rerun these stages even if they are up to date.

    Files tell them: a job of a cluster reads the Snakefile anew, under a `--force` of Snakemake's own, and so could not
    tell from its settings.
    """
    for address in addresses:
        _write(FORCED / address, "")


def is_forced(address: str) -> bool:
    """Whether the running Snakemake is to rerun the stage even if it is up to date."""
    return (FORCED / address).is_file()


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(f"{text}\n", encoding="utf-8")
    partial.replace(path)
    return path
