"""`python -m pipeline track`: mirror the working tree or a past commit into MLflow, outside the DAG."""

import argparse

from pipeline.core.errors import without_password
from pipeline.registry import load_params
from pipeline.tracking.project import mirror
from pipeline.tracking.store import tracking_uri


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rev",
        metavar="REVISION",
        help="commit, branch or tag to mirror (default: the working tree)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Mirror, and print what was mirrored and which files are missing."""
    mirrored = mirror(load_params().track.experiment, arguments.rev)
    print(f"commit {mirrored.commit.hash[:8]}: {len(mirrored.runs)} stages are in {without_password(tracking_uri())}")
    for stage in mirrored.runs:
        for path in stage.missing:
            print(f"  {stage.address}: without {path}")
    if any(stage.missing for stage in mirrored.runs):
        print("these files are not available here: try `dvc pull` or `dvc fetch --all-commits`, then run this again")
