"""A lab's file of perturbed cells as the settings describe it."""

from pathlib import Path

from pipeline.cfm_vc.params.ingest import IngestFile
from pipeline.core.paths import StudyPaths
from pipeline.data.source import Source

ONE_BATCH = "all"  # of every cell of a single file


def lab_file(path: Path, settings: IngestFile, at: StudyPaths, several: bool) -> Source:
    """Where the settings name no column of batches, one of several files is a batch, and so is a single one."""
    given = {name: getattr(settings.columns, name) for name in type(settings.columns).model_fields}
    return Source(
        path,
        f"{at.key}.ingest",
        settings.counts,
        {name: column for name, column in given.items() if column is not None},
        settings.control,
        settings.dose,
        settings.combination,
        settings.spatial,
        constant={} if given["batch"] is not None else {"batch": path.stem if several else ONE_BATCH},
    )
