"""A lab's file of perturbed cells as the settings describe it."""

from pathlib import Path

from pipeline.cfm_vc.params.ingest import IngestFile
from pipeline.core.paths import StudyPaths
from pipeline.data.source import Source


def lab_file(path: Path, settings: IngestFile, at: StudyPaths, batch: str) -> Source:
    """batch: of all of its cells, where the settings name no column of batches."""
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
        constant={} if given["batch"] is not None else {"batch": batch},
    )
