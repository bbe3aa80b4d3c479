"""Snakemake's records of what it ran, made to agree with DVC: the only code that writes what is internal to Snakemake.

Without them `--summary` and `--report` would know only what Snakemake itself ran, and warn of the rest. Written against
Snakemake 9.27; tests/engines/test_snakemake.py pins what is used of it.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence

from workflow.dag import Stage
from workflow.finished import read_finished
from workflow.run_stage import job_command
from workflow.stamps import finished_at, stamp_path

SHOWN = (".html", ".csv")  # outputs for `--report`: the page, and the tables of results and learning curves
NO_TIME = 0.001  # seconds that a stage took where nobody knows: its scale is logarithmic


def forced_stages(stages: Iterable[Stage], settings: Any) -> list[str]:
    """Addresses of the stages that `--forcerun`, `--forceall` or `--force` name, or their stamps."""
    named = {*settings.forcerun, *(settings.targets if settings.forcetargets else ())}
    addresses = [stage.address for stage in stages]
    return [address for address in addresses if settings.forceall or named & {address, stamp_path(address)}]


def start_times() -> dict[str, float]:
    """When the stages that have ended since the last repair had started (seconds since 1970), by address."""
    return {finished.address: finished.started / 1e9 for finished in read_finished()}


def write_records(clean: Collection[Stage], started: Mapping[str, float]) -> None:
    """Record the stages that DVC calls up to date, and that have a stamp, as if Snakemake had run them."""
    store = FilePersistence()
    for stage in clean:
        stamp, ended = stamp_path(stage.address), finished_at(stage) / 1e9
        inputs = [stamp_path(address) for address in stage.upstream if Path(stamp_path(address)).is_file()]
        known = store._read_record(stamp) or MetadataRecord()
        seen = known.starttime is not None and known.starttime < ended <= (known.endtime or 0)
        start = started.get(stage.address) or (known.starttime if seen else None) or ended
        record = MetadataRecord(
            rule=stage.address,
            input=sorted(map(stamp_path, stage.upstream)),
            log=known.log,
            shellcmd=job_command(stage.address),
            record_format_version=RECORD_FORMAT_VERSION,
            starttime=min(start, ended - NO_TIME),
            endtime=ended,
            input_checksums={path: _checksum(path) for path in inputs},
        )
        store._write_record(stamp, record)
        store._unmark_incomplete(stamp)  # left by a killed run, if DVC finished the stage


def shown_files(clean: Iterable[Stage]) -> list[str]:
    """Files for `--report`."""
    return [out for stage in clean for out in stage.outs if Path(out).suffix in SHOWN and Path(out).is_file()]


def _checksum(path: str) -> str:
    return f"sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()}"
