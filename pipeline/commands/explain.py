"""`python -m pipeline explain`: for each stage whether it would run and why."""

import argparse

from pipeline.core.errors import ExpectedError
from pipeline.plan import make_plan
from workflow.dag import DagError
from workflow.explain import explain
from workflow.repair import repair
from workflow.untracked import untracked_inputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="such as report or ingest@cfm_vc-pbmc")


def run(arguments: argparse.Namespace) -> None:
    """Print repairs, explanations in the order of the DAG, and inputs not under version control."""
    if make_plan(with_settings=True):  # an explanation compares what stages would read now with dvc.lock
        make_plan(with_settings=True)
    try:
        project = repair()
        explanations = explain(project, arguments.stage)
    except DagError as error:
        raise ExpectedError(str(error)) from error
    notes = [f"note: {note}" for note in untracked_inputs(project.stages)]
    print("\n".join([*project.done, *map(str, explanations), *notes]))
