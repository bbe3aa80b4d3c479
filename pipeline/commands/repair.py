"""`python -m pipeline repair`: mend what a killed run left of DVC's own files, and lose no stage that had ended."""

import argparse

from pipeline.core.errors import ExpectedError
from workflow.dag import DagError
from workflow.repair import repair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_: argparse.Namespace) -> None:
    """Print what was done. ExpectedError: DVC cannot read the project, or is at work on it."""
    try:
        done = repair().done
    except DagError as error:
        raise ExpectedError(str(error)) from error
    print("\n".join(done) or "there is nothing to repair")
