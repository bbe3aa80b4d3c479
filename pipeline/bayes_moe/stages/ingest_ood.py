"""Out-of-distribution images, in data/raw/bayes_moe_ood: is a classifier rightly unsure of them?"""

from pathlib import Path

from pipeline.bayes_moe.data.image_source import read_image_source, write_image_source
from pipeline.bayes_moe.params.ingest import Ingest
from pipeline.bayes_moe.paths import OOD_RAW, PATHS
from pipeline.core.entry import run_stage
from pipeline.core.files import write_text

SECTION = "bayes_moe.ingest_ood"


def run(settings: Ingest) -> None:
    """Write data/raw/bayes_moe_ood, all of it or, on a problem, nothing, and what they are in
    reports/bayes_moe/ood.json."""
    path = Path(settings.path)
    source = read_image_source(path, settings.size, settings.md5, settings.white_level, SECTION)
    print(write_image_source(OOD_RAW, path, source))
    write_text(PATHS.reports / "ood.json", (OOD_RAW / "source.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_stage(SECTION, run)
