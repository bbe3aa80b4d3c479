"""When stages ran on this machine: start and end of each result, by the hashes of what the stage wrote.

DVC keeps no times, and what git holds must have none. They lie in DVC's temporary folder of the main checkout, so that
those of a queued experiment outlive the folder it ran in.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.core.checkout import main_checkout
from pipeline.core.files import read_json, write_json
from workflow.hashes import hash_here
from workflow.lock import KEPT

MOST_HASHED = 2**28  # bytes of an out: DVC hashes it as well, and the others tell results apart


class Span(NamedTuple):
    """Both in ns since 1970."""

    start: int
    end: int


def note_times(address: str, span: Span, outs: Iterable[str]) -> None:
    """Record when a stage made what now lies at `outs`; outs of more than `MOST_HASHED` bytes are not looked at."""
    hashes = {out: hash_here(out) for out in sorted(outs) if 0 < _size(Path(out)) <= MOST_HASHED}
    if hashes:
        name = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:16]
        write_json(_folder(address) / f"{name}.json", {**span._asdict(), "outs": hashes})


def read_times(address: str, outs: Mapping[str, str]) -> Span | None:
    """When this machine made the result with these hashes by path, as dvc.lock has them; None where it did not."""
    for file in sorted(_folder(address).glob("*.json")):
        note = read_json(file)
        if note["outs"].items() <= outs.items():
            return Span(note["start"], note["end"])
    return None


def _folder(address: str) -> Path:
    return main_checkout() / KEPT / "times" / address


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
