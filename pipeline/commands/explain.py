"""`python -m pipeline explain`: for each stage whether it would run and why."""

import argparse
from collections.abc import Mapping

from pipeline.plan import make_plan, read_plan
from workflow.explain import explain
from workflow.repair import repair
from workflow.untracked import untracked_inputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "stage", nargs="?", metavar="STAGE", help="such as report or ingest@cfm_vc-pbmc; or a study, such as pbmc"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print repairs, explanations in the order of the DAG, and inputs not under version control."""
    if make_plan(with_settings=True):  # an explanation compares what stages would read now with dvc.lock
        make_plan(with_settings=True)
    studies = {key: entry["study"] for key, entry in read_plan().get("studies", {}).items()}
    study = _prefixes(arguments.stage, studies)
    project = repair()
    explanations = explain(project, None if study else arguments.stage, studies.values())
    if study:
        explanations = [one for one in explanations if f"{one.address.partition('@')[2]}-".startswith(study)]
    notes = [f"note: {note}" for note in untracked_inputs(project.stages)]
    print("\n".join([*project.done, *map(str, explanations), *notes]))


def _prefixes(name: str | None, studies: Mapping[str, str]) -> tuple[str, ...]:
    """What the instances of a study begin with, where this is one: `cfm_vc-pbmc-held_out-0` or `pbmc-held_out-0`."""
    keys = [key for key, study in studies.items() if name in (key, study)]
    return (f"{studies[keys[0]]}-", f"{keys[0]}-") if len(keys) == 1 else ()
