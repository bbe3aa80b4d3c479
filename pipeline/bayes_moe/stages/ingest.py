"""The pictures to classify, from a recipe, an archive or a folder, in one form in data/raw/images."""

from pathlib import Path

from pipeline.bayes_moe.data.picture_source import read_picture_source, write_picture_source
from pipeline.bayes_moe.params.ingest_images import IngestImages
from pipeline.core import paths

SECTION = "ingest.images"


def run(settings: IngestImages) -> None:
    """Write data/raw/images, all of it or, on a problem, nothing."""
    path = Path(settings.path)
    source = read_picture_source(path, settings.size, settings.md5, settings.white_level, SECTION)
    print(write_picture_source(paths.RAW / "images", path, source))
