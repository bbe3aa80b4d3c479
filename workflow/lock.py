"""dvc.lock as plain data, without DVC, whose import takes half a second that every job would pay.

DVC writes the file in place: for up to two seconds it is empty or cut, and stays so where DVC is killed meanwhile. It
writes only while it holds its own lock on the project, so whoever holds that lock reads what is really there.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ExpectedError
from pipeline.files import write_text

DVC_LOCK = Path("dvc.lock")
DVC_YAML = Path("dvc.yaml")
DVC_FOLDER = Path(".dvc/tmp")  # what DVC keeps for itself between and during its runs
PROJECT_LOCK = DVC_FOLDER / "lock"
KEPT = DVC_FOLDER / "celldag"  # what we keep there: neither git nor DVC looks
COPY = KEPT / "dvc.lock"  # the last whole dvc.lock

Entries = dict[str, dict[str, Any]]  # by the stage's address, what it last ran with and made


@contextmanager
def held(lock: Path = PROJECT_LOCK) -> Iterator[None]:
    """Hold one of DVC's own locks, once no other process does; nothing where this is no DVC project."""
    descriptor = _acquired(lock)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def hold_until_exit() -> None:
    """Wait until no DVC holds the project, then keep others off it until this process ends, however it ends.

    The DVC that comes back from its stage then finds it free. It gives up after three seconds, and the stage would go
    unrecorded.
    """
    _acquired(PROJECT_LOCK)


def _acquired(lock: Path) -> int | None:
    """An open file that holds the lock. The system releases it when the file is closed or the process ends."""
    if not lock.parent.parent.is_dir():
        return None
    lock.parent.mkdir(exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def read_lock() -> Entries:
    """The stages of dvc.lock by address; empty before the first run. ExpectedError: a kill has damaged the file."""
    with held():
        text = _text(DVC_LOCK)
    entries = {} if text is None else parse_entries(text)
    if entries is None:
        raise ExpectedError(f"{DVC_LOCK} is damaged: run `python -m pipeline repair`")
    return entries


def keep_copy() -> None:
    """Keep a copy of dvc.lock, which `mend_lock` goes back to.

    ExpectedError: the file is damaged, or lacks stages that the copy has. DVC accepts a file that was cut between two
    stages, and would run those that are missing again.
    """
    with held():
        text, kept = _text(DVC_LOCK), _text(COPY)
        if text == kept:
            return
        if text is None:  # DVC never removes the file: someone wants to start anew
            COPY.unlink(missing_ok=True)
            return
        entries = parse_entries(text)
        missing = [] if entries is None else lacking(entries, kept)
        if entries is None or missing:
            what = f"has lost {', '.join(missing)}" if missing else "is damaged"
            raise ExpectedError(
                f"{DVC_LOCK} {what}, as a kill while DVC writes it does: run `python -m pipeline repair`, then go on"
            )
        write_text(COPY, text)


def mend_lock() -> str | None:
    """Put the last whole dvc.lock in the place of a damaged one; what was done, for people. None: there was nothing.

    An entry that is put back is no claim that its stage is up to date: DVC compares it with the files, as any other.
    """
    with held():
        text, kept = _text(DVC_LOCK), _text(COPY)
        if text is None or text == kept:
            return None
        entries = parse_entries(text)
        if entries is None:
            if kept is None:
                DVC_LOCK.unlink()
                return f"removed {DVC_LOCK}, which a kill had damaged: its first stages will run again"
            write_text(DVC_LOCK, kept)
            return f"put back {DVC_LOCK}, which a kill had damaged"
        missing = lacking(entries, kept)
        if missing:
            write_text(DVC_LOCK, _merged(entries, kept or ""))
            return f"put back what a kill had cut off {DVC_LOCK}: {', '.join(missing)}"
        write_text(COPY, text)
        return None


def parse_entries(text: str) -> Entries | None:
    """The stages in the text of a dvc.lock, or None where it is empty, cut or not what DVC writes."""
    try:
        content = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return None
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not text.endswith("\n"):
        return None
    return stages if all(isinstance(entry, dict) and "cmd" in entry for entry in stages.values()) else None


def lacking(entries: Mapping[str, Any], kept: str | None) -> list[str]:
    """Stages that dvc.yaml still declares and the kept copy of dvc.lock holds, but `entries` does not."""
    missing = [address for address in (kept and parse_entries(kept)) or {} if address not in entries]
    if not missing:
        return []
    declared = (yaml.load(_text(DVC_YAML) or "", Loader=yaml.CSafeLoader) or {}).get("stages", {})
    return [address for address in missing if address.partition("@")[0] in declared]


def _merged(entries: Entries, kept: str) -> str:
    """The kept file with the entries of the one that was cut, as DVC would write it. The last may be cut itself."""
    from dvc.utils.serialize import dumps_yaml

    before = parse_entries(kept) or {}
    last = next(reversed(entries), None)
    newer = {address: entry for address, entry in entries.items() if address != last or address not in before}
    return str(dumps_yaml({**yaml.load(kept, Loader=yaml.CSafeLoader), "stages": {**before, **newer}}))


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
