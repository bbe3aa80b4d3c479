"""`python -m pipeline deps`: the code deps in dvc.yaml against what the stages import."""

import argparse

from pipeline.errors import ExpectedError
from workflow.code_deps import differences, rewrite
from workflow.dag import DagError, read_stages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", action="store_true", help="correct dvc.yaml, its comments and layout kept")


def run(arguments: argparse.Namespace) -> None:
    """Print what differs. ExpectedError: something does (with --write: is left, since only some keys need it)."""
    try:
        if arguments.write and rewrite(read_stages()):
            print("wrote dvc.yaml")
        left = differences(read_stages())
    except DagError as error:
        raise ExpectedError(str(error)) from error
    if left:
        advice = (
            "only some keys of a foreach stage need these: give each key an item of its own that names the file or "
            "folder, as ingest's source does"
            if arguments.write
            else "run make deps and commit the result"
        )
        raise ExpectedError("\n".join(["dvc.yaml and the imports differ", *map(str, left), advice]))
