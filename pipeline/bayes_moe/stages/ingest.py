"""The images to classify, from a recipe, an archive or a folder, in one form in data/raw/."""

from pathlib import Path

from pipeline.bayes_moe.data.image_source import read_image_source, write_image_source
from pipeline.bayes_moe.params.ingest import Ingest
from pipeline.core.entry import run_study_stage
from pipeline.core.paths import StudyPaths

SECTION = "bayes_moe.ingest"


def run(settings: Ingest, at: StudyPaths) -> None:
    """Write data/raw/bayes_moe/<study>, all of it or, on a problem, nothing."""
    path = Path(settings.path)
    source = read_image_source(path, settings.size, settings.md5, settings.white_level, f"{at.key}.ingest")
    print(write_image_source(at.raw, path, source))


if __name__ == "__main__":
    run_study_stage(SECTION, run)
