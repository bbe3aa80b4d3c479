"""dvc.lock as plain data, without DVC, whose import would cost every job half a second.

DVC writes the file in place: for up to two seconds it is empty or truncated, and stays so if DVC is killed. DVC writes
only while it holds its lock on the project, so the holder of that lock reads a consistent file.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_text
from workflow.declared import declared_stages, instances, is_declared, outs_of, template_values

DVC_LOCK = Path("dvc.lock")
DVC_FOLDER = Path(".dvc/tmp")  # DVC's own temporary files
PROJECT_LOCK = DVC_FOLDER / "lock"
KEPT = DVC_FOLDER / "celldag"  # our files there, which git and DVC ignore
COPY = KEPT / "dvc.lock"  # the last complete dvc.lock

Entries = dict[str, dict[str, Any]]  # by address: inputs, parameters and outputs of the last run


@contextmanager
def held(lock: Path = PROJECT_LOCK) -> Iterator[None]:
    """Wait for and hold one of DVC's locks; does nothing outside a DVC project."""
    descriptor = _acquired(lock)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def hold_until_exit() -> None:
    """Wait for the lock on the project, then hold it until this process ends, however it ends.

    The DVC that returns from its stage then finds it free. It would otherwise give up after three seconds and leave the
    stage unrecorded.
    """
    _acquired(PROJECT_LOCK)


def _acquired(lock: Path) -> int | None:
    """The descriptor of the locked file; the system releases the lock when it is closed or the process ends."""
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
    """Back up dvc.lock for `repair_lock`.

    ExpectedError if the file is damaged, or lacks stages that the copy has: DVC accepts a file truncated at the end of
    a line, and would rerun the missing stages.
    """
    with held():
        text, kept = _text(DVC_LOCK), _text(COPY)
        if text == kept:
            return
        if text is None:  # DVC never removes the file: the user wants to start over
            COPY.unlink(missing_ok=True)
            return
        entries = parse_entries(text)
        lost = [] if entries is None else lacking(entries, kept)
        if entries is None or lost:
            what = f"has lost {', '.join(lost)}" if lost else "is damaged"
            raise ExpectedError(
                f"{DVC_LOCK} {what}, because DVC was killed while writing it: run `python -m pipeline repair`, then "
                "continue"
            )
        write_text(COPY, text)


def repair_lock() -> str | None:
    """Replace a damaged dvc.lock by its last complete copy; a message on what was done, or None.

    A restored entry does not imply that its stage is up to date: DVC compares it with the files, as always.
    """
    with held():
        text, kept = _text(DVC_LOCK), _text(COPY)
        if text is None or text == kept:
            return None
        entries = parse_entries(text)
        if entries is None:
            if kept is None:
                DVC_LOCK.unlink()
                return f"removed {DVC_LOCK}, damaged by a kill: its first stages will rerun"
            write_text(DVC_LOCK, kept)
            return f"restored {DVC_LOCK}, damaged by a kill"
        lost = lacking(entries, kept)
        if lost:
            write_text(DVC_LOCK, _merged(entries, kept or "", lost))
            return f"restored to {DVC_LOCK}, which lacked them: {', '.join(lost)}"
        write_text(COPY, text)
        return None


def parse_entries(text: str) -> Entries | None:
    """The stages in the text of a dvc.lock, or None if it is empty, truncated or not in DVC's format."""
    try:
        content = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return None
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not text.endswith("\n"):
        return None
    return stages if all(isinstance(entry, dict) and "cmd" in entry for entry in stages.values()) else None


def lacking(entries: Entries, kept: str | None) -> list[str]:
    """Declared stages of which the copy of dvc.lock holds more than `entries`."""
    before = (kept and parse_entries(kept)) or {}
    declared, context = declared_stages(), template_values()
    lost = []
    for address, whole in before.items():
        if not is_declared(address, declared, context):
            continue
        name, _, key = address.partition("@")
        outs = outs_of(declared[name], key, instances(declared[name], context)[key])
        if address not in entries or _is_cut(entries[address], whole, outs):
            lost.append(address)
    return lost


def _is_cut(entry: Mapping[str, Any], before: Mapping[str, Any], outs: Iterable[str]) -> bool:
    """Whether an entry is a prefix of the earlier one and lacks declared outputs.

    An output that was removed from or is new in dvc.yaml does not count as lost.
    """
    keys = {out["path"]: out.keys() for out in before.get("outs", [])}
    recorded = {path for out in entry.get("outs") or [] if out.keys() == keys.get(path := out.get("path"))}
    return entry != before and _begins(before, entry) and not recorded.issuperset(outs)


def _begins(whole: Any, part: Any) -> bool:
    """Whether `part` is what truncation at the end of a line leaves of the YAML of `whole`."""
    if part is None:
        return True
    if isinstance(whole, dict) and isinstance(part, dict):
        return _begins([[key, value] for key, value in whole.items()], [[key, value] for key, value in part.items()])
    if isinstance(whole, list) and isinstance(part, list) and part:
        *first, last = part
        return len(part) <= len(whole) and first == whole[: len(first)] and _begins(whole[len(first)], last)
    return bool(whole == part)


def _merged(entries: Entries, kept: str, lost: Iterable[str]) -> str:
    """These entries and the lost ones from the copy, in DVC's format."""
    from dvc.utils.serialize import dumps_yaml

    before = parse_entries(kept) or {}
    stages = {**before, **entries, **{address: before[address] for address in lost}}
    return str(dumps_yaml({**yaml.load(kept, Loader=yaml.CSafeLoader), "stages": stages}))


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
