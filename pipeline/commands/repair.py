"""`python -m pipeline repair`: repair DVC's own files after a killed run, and record stages that had finished."""

import argparse

from workflow.repair import repair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(_: argparse.Namespace) -> None:
    """Repair and print what was done. ExpectedError if DVC cannot read the project, or is running."""
    print("\n".join(repair().done) or "there is nothing to repair")
