"""Which checkout of the project results belong to while DVC runs an experiment, in a folder of its own or in place."""

import os
from pathlib import Path


def experiment() -> str | None:
    """The name of the DVC experiment that this process is a part of; None outside one."""
    return os.environ.get("DVC_EXP_NAME") or None


def baseline() -> str | None:
    """The commit that the experiment is based on, 40 hexadecimal digits; None outside one."""
    return os.environ.get("DVC_EXP_BASELINE_REV") or None if experiment() else None


def main_checkout() -> Path:
    """The root of the project: the working directory, or the checkout whose `dvc exp run` started this process.

    A queued experiment runs in `.dvc/tmp/exps/` of that checkout, a folder that DVC removes afterwards.
    """
    root = os.environ.get("DVC_ROOT")
    return Path(root) if root and experiment() and Path(root, ".dvc").is_dir() else Path()
