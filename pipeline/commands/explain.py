"""`python -m pipeline explain`: for each stage whether it would run and why."""

import argparse

from pipeline.errors import ExpectedError
from pipeline.params.whole import load_params
from workflow.dag import DagError
from workflow.explain import explain
from workflow.repair import repair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="such as vae_pretrain or ingest@perturbation")


def run(arguments: argparse.Namespace) -> None:
    """Print the explanations, in the order of the DAG."""
    load_params()
    try:
        project = repair()
        explanations = explain(project, arguments.stage)
    except DagError as error:
        raise ExpectedError(str(error)) from error
    print("\n".join([*project.done, *(str(explanation) for explanation in explanations)]))
