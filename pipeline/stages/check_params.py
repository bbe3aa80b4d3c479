"""Refuse what is wrong anywhere in params.yaml, before DVC removes what the stages made that it concerns.

A stage would refuse it as well, but only once DVC has removed its outputs. All other stages come after this one.
"""

from pipeline import paths
from pipeline.entry import run_stage
from pipeline.files import write_json
from pipeline.params.whole import load_params


def run() -> None:
    """Validate params.yaml; what is written never changes, so that no stage runs because this one has."""
    load_params()
    write_json(paths.CHECKED_PARAMS, {"params.yaml": "valid"})


if __name__ == "__main__":
    run_stage(None, run)
