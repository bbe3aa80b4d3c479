"""Validate params.yaml, and write what other stages depend on: plan.yaml, data/settings/ and the code manifests.

All other stages depend on this one, so parameters are checked, and settings and manifests current, before DVC removes
the outputs of a changed stage.
"""

from pipeline.core.entry import run_stage
from pipeline.core.errors import ExpectedError
from pipeline.plan import make_plan
from workflow.manifests import write_manifests


def run() -> None:
    """Write data/code and data/settings. ExpectedError where DVC has started with a plan that no longer fits."""
    if make_plan(with_settings=True):
        raise ExpectedError(
            "plan.yaml no longer matched the studies, folds, seeds, points or data of params.yaml and has been "
            "rewritten; DVC had read it already, so run the same command again"
        )
    write_manifests()


if __name__ == "__main__":
    run_stage(None, run)
