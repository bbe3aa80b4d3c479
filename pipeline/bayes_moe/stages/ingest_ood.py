"""Out-of-distribution images, in data/raw/bayes_moe_ood/: is a classifier rightly unsure of them?"""

from pathlib import Path

from pipeline.bayes_moe.data.image_source import read_image_source, write_image_source
from pipeline.bayes_moe.params.ingest import Ingest
from pipeline.bayes_moe.paths import ood_raw
from pipeline.core.entry import run_study_stage
from pipeline.core.files import write_text
from pipeline.core.paths import StudyPaths

SECTION = "bayes_moe.ingest_ood"


def run(settings: Ingest, at: StudyPaths) -> None:
    """Write data/raw/bayes_moe_ood/<study>, all of it or, on a problem, nothing, and what they are in ood.json."""
    path = Path(settings.path)
    source = read_image_source(path, settings.size, settings.md5, settings.white_level, f"{at.key}.ingest_ood")
    print(write_image_source(ood_raw(at), path, source))
    write_text(at.reports / "ood.json", (ood_raw(at) / "source.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_study_stage(SECTION, run)
