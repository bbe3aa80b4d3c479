"""Where the files of this system lie."""

from pathlib import Path

from pipeline.core.paths import SystemPaths

PATHS = SystemPaths("bayes_moe")
OOD_RAW = Path("data/raw/bayes_moe_ood")  # out-of-distribution images
