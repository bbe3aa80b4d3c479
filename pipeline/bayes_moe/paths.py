"""Where the files lie that only this system has."""

from pathlib import Path

from pipeline.core.paths import StudyPaths


def ood_raw(at: StudyPaths) -> Path:
    """A study's out-of-distribution images."""
    return Path("data/raw/bayes_moe_ood") / at.study
