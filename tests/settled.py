"""What stages in processes of their own read of params.yaml."""

from contextlib import chdir
from pathlib import Path

from pipeline.plan import make_plan
from pipeline.registry import Params, load_params


def settled(folder: Path) -> Params:
    """Write plan.yaml and data/settings/ in a folder by its params.yaml, as the stage `code` does."""
    with chdir(folder):
        make_plan()
        make_plan(with_settings=True)
        return load_params()
