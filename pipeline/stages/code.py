"""Write the code manifest of every stage, and validate params.yaml.

All other stages depend on this one, so parameters are checked, and manifests current, before DVC removes the outputs of
a changed stage.
"""

from pipeline.core.entry import run_stage
from pipeline.registry import load_params
from workflow.manifests import write_manifests


def run() -> None:
    """Validate params.yaml, then write data/code/."""
    load_params()
    write_manifests()


if __name__ == "__main__":
    run_stage(None, run)
