"""A lab's file of tissue as the settings describe it."""

from pathlib import Path

from pipeline.alphastomics.params.ingest import IngestFile
from pipeline.core.paths import StudyPaths
from pipeline.data.columns import UNKNOWN
from pipeline.data.source import Source


def lab_file(path: Path, settings: IngestFile, at: StudyPaths) -> Source:
    """A file is one section, and its cells are of no known type, where the settings name no column of these."""
    given = {"section": settings.section, "cell_type": settings.cell_type}
    absent = {"section": path.stem, "cell_type": UNKNOWN}
    return Source(
        path,
        f"{at.key}.ingest",
        settings.counts,
        {name: column for name, column in given.items() if column is not None},
        spatial=settings.spatial if isinstance(settings.spatial, str) else tuple(settings.spatial),
        same_place=settings.same_place,
        constant={name: absent[name] for name, column in given.items() if column is None},
    )
