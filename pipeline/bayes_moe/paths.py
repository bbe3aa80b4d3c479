"""Where the files of this system lie."""

from pathlib import Path

from pipeline.core.paths import SystemPaths

PATHS = SystemPaths("bayes_moe")
OOD_RAW = Path("data/raw/bayes_moe_ood")  # images of another kind, which a classifier should be unsure of
