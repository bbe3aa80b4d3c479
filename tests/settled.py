"""What stages in processes of their own read of params.yaml."""

from contextlib import chdir
from pathlib import Path

from pipeline.plan import folds_of_studies, refresh_plan, write_settings
from pipeline.registry import Params, load_params


def settled(folder: Path) -> Params:
    """Write plan.yaml and data/settings/ in a folder by its params.yaml, as the stage `code` does."""
    with chdir(folder):
        params = load_params()
        folds = folds_of_studies(params)
        refresh_plan(params, folds)
        write_settings(params, folds)
    return params
