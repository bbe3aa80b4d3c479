"""Note which source each stage depends on, and refuse what is wrong anywhere in params.yaml.

All other stages come after this one: before DVC removes the outputs of a stage whose parameters have changed, they have
been checked, and what code it is to run is known.
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
