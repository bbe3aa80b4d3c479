"""The pictures to classify, from a recipe, an archive or a folder, in one form in data/raw/images."""

from pathlib import Path

from pipeline import paths
from pipeline.data.picture_source import read_picture_source, write_picture_source
from pipeline.params.ingest_images import IngestImages

SECTION = "ingest.images"


def run(settings: IngestImages) -> None:
    """Write data/raw/images, all of it or, on a problem, nothing."""
    path = Path(settings.path)
    source = read_picture_source(path, settings.size, settings.md5, settings.white_level, SECTION)
    print(write_picture_source(paths.RAW / "images", path, source))
