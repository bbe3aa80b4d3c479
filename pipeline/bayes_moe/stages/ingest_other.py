"""Pictures of another kind than those to classify, in data/raw/other_images: is a classifier rightly unsure of them?"""

from pathlib import Path

from pipeline.bayes_moe.data.picture_source import read_picture_source, write_picture_source
from pipeline.bayes_moe.params.ingest_other_images import IngestOtherImages
from pipeline.core import paths

SECTION = "ingest.other_images"


def run(settings: IngestOtherImages) -> None:
    """Write data/raw/other_images, all of it or, on a problem, nothing."""
    path = Path(settings.path)
    source = read_picture_source(path, settings.size, settings.md5, settings.white_level, SECTION)
    print(write_picture_source(paths.RAW / "other_images", path, source))
