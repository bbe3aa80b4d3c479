"""The images to classify, from a recipe, an archive or a folder, in one form in data/raw/bayes_moe."""

from pathlib import Path

from pipeline.bayes_moe.data.image_source import read_image_source, write_image_source
from pipeline.bayes_moe.params.ingest import Ingest
from pipeline.bayes_moe.paths import PATHS
from pipeline.core.entry import run_stage

SECTION = "bayes_moe.ingest"


def run(settings: Ingest) -> None:
    """Write data/raw/bayes_moe, all of it or, on a problem, nothing."""
    path = Path(settings.path)
    source = read_image_source(path, settings.size, settings.md5, settings.white_level, SECTION)
    print(write_image_source(PATHS.raw, path, source))


if __name__ == "__main__":
    run_stage(SECTION, run)
