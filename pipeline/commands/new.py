"""`celldag new PATH`: look into data, and write a study of them into params.yaml."""

import argparse
import os.path
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.changes import parsed
from pipeline.commands.params_file import Written, read_params_text, save, studies_of, with_studies
from pipeline.commands.program import program
from pipeline.commands.proposals import PROPOSALS, proposing, recognise
from pipeline.commands.study_text import study_text, told
from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.core.text_table import aligned
from pipeline.core.wording import did_you_mean
from pipeline.params.draft import Decision, Draft
from pipeline.params.reading import parse_yaml, validated
from pipeline.plan import read_plan
from pipeline.registry import Params

LONGEST_NAME = 60
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="cells (.h5ad, zarr, or a folder of them), a folder of images or of IDX files, a CIFAR archive, or a .csv",
    )
    parser.add_argument("--name", metavar="NAME", help="of the study (default: after the file)")
    parser.add_argument("--system", metavar="SYSTEM", help=f"{', '.join(PROPOSALS)} (default: what the data are for)")
    parser.add_argument(
        "-S",
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="KEY=VALUE",
        help="a setting of the study, such as -S ingest.control=ctrl (may be repeated)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the study and write nothing")


def run(arguments: argparse.Namespace) -> None:
    """Draft the study, write it and the plan, and say what was decided and what comes next."""
    text = read_params_text()
    given_paths = tuple(_as_in_project(path) for path in arguments.path)
    name = _name(arguments.name, given_paths)
    given = parsed(arguments.changes, "")
    system, why = _system(arguments.system, given_paths, given)
    given = {key.removeprefix(f"{system}.studies.{name}.").removeprefix(f"{system}."): v for key, v in given.items()}
    content = parse_yaml(text, str(paths.PARAMS))
    taken = studies_of(content, system)
    if name in taken:
        free = next(f"{name}_{number}" for number in range(2, len(taken) + 3) if f"{name}_{number}" not in taken)
        raise ExpectedError(
            f"{paths.PARAMS} has a study {system}.studies.{name} already: change it there, or add another with "
            f"--name {free}"
        )
    shared = getattr(validated(Params, content, str(paths.PARAMS)), system)

    draft = Draft(given)
    proposing(system).propose(given_paths, draft, shared)
    if draft.questions:
        raise _unclear(draft, system, arguments)
    draft.decide("seeds", [0], "one training; several, such as [0, 1, 2], show how far they differ")
    draft.settle()
    try:
        settings = draft.settings()
    except TypeError as error:
        raise ExpectedError(str(error)) from error
    study = study_text(name, f"{draft.data}; drafted by `celldag new`", _ordered(settings), draft.decisions)
    changed = with_studies(text, [Written(system, name, study)])
    at = StudyPaths(system, name)
    summary = [
        f"{draft.data}\n",
        f"{at.key}, for {system}: {why}",
        *told(_by_place(draft.decisions, settings)),
        *(f"note: {note}" for note in draft.notes),
        "",
    ]
    if arguments.dry_run:
        validated(Params, parse_yaml(changed, str(paths.PARAMS)), str(paths.PARAMS))
        print("\n".join([*summary, f"would be written into {paths.PARAMS}, below {system}.studies:\n", study]), end="")
        return
    save(changed)
    print("\n".join([*summary, f"written into {paths.PARAMS}, where all of it can be changed. Next:"]))
    print("\n".join(f"  {line}" for line in _next(given_paths, at)))


def _as_in_project(path: Path) -> Path:
    """A path as params.yaml is to have it: relative to the project where it lies inside."""
    relative = Path(os.path.relpath(path))
    return path if relative.is_relative_to("..") else relative


def _name(given: str | None, given_paths: tuple[Path, ...]) -> str:
    if given is not None:
        if not _NAME.fullmatch(given) or len(given) > LONGEST_NAME:
            raise ExpectedError(
                f"--name {given!r}: expected at most {LONGEST_NAME} lower-case letters, digits and _, a letter first"
            )
        return given
    path = given_paths[0] if len(given_paths) == 1 else given_paths[0].absolute().parent
    stem = path.absolute().name
    for suffix in (".gz", path.suffix, ".tar"):
        stem = stem.removesuffix(suffix) or stem
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:LONGEST_NAME].strip("_")
    return name if name[:1].isalpha() else f"study_{name}".rstrip("_")


def _system(asked: str | None, given_paths: tuple[Path, ...], given: Mapping[str, Any]) -> tuple[str, str]:
    if asked is None:
        return recognise(given_paths, given)
    if asked not in PROPOSALS:
        advice = did_you_mean(asked, PROPOSALS, f"there are {', '.join(PROPOSALS)}")
        raise ExpectedError(f"--system {asked}: no such system; {advice}")
    return asked, "as given"


def _unclear(draft: Draft, system: str, arguments: argparse.Namespace) -> ExpectedError:
    """All that the data leave open, with what may be given, and the whole call with a place for each."""
    lines = [f"{draft.data or ', '.join(map(str, arguments.path))}: not all is clear, and nothing was written."]
    call = [program(), "new", *(shlex.quote(str(path)) for path in arguments.path)]
    call += ["--name", arguments.name] if arguments.name else []
    call += ["--system", system]
    asked = {question.key for question in draft.questions}  # what is given of these, the example goes on from
    kept = [change for change in arguments.changes if change.partition("=")[0].strip() not in asked]
    call += [f"--set {shlex.quote(change)}" for change in kept]
    for question in draft.questions:
        lines.append(f"  {question.key}: {question.problem}")
        lines += [f"      {line}".rstrip() for line in aligned(list(question.candidates.items()), left=2)]
        example = next(iter(question.candidates), "...")
        call.append(f"--set {shlex.quote(f'{question.key}={example}')}")
    return ExpectedError("\n".join([*lines, "Call it again with your choices, such as:", "  " + " ".join(call)]))


def _by_place(decisions: Sequence[Decision], settings: Mapping[str, Any]) -> list[Decision]:
    """In the order of the study's text, but for its path."""
    places = list(_ordered(settings))
    shown = [decision for decision in decisions if decision.key != "ingest.path"]
    return sorted(shown, key=lambda decision: places.index(decision.key.partition(".")[0]))


def _ordered(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Data, split and seeds first, as in the studies of params.yaml; then what differs, in the order of stages."""
    first = [key for key in ("title", "ingest", "ingest_ood", "held_out", "seeds") if key in settings]
    return {key: settings[key] for key in (*first, *(key for key in settings if key not in first))}


def _next(given_paths: tuple[Path, ...], at: StudyPaths) -> list[str]:
    """The commands to go on with, each with what it does."""
    plan = read_plan()
    mine = [entry for kind in ("runs", "points") for entry in plan.get(at.system, {}).get(kind, {}).values()]
    trainings = sum(entry["study"] == at.study for entry in mine)
    commands = [
        (f"dvc add {shlex.quote(str(path))}", "# puts the data under version control")
        for path in given_paths
        if _untracked(path)
    ]
    stages = "training" if trainings == 1 else "trainings"
    commands.append((f"{program()} run {at.study}", f"# {trainings} {stages}, then the page {at.page}"))
    return [line.rstrip() for line in aligned(commands, left=2)]


def _untracked(path: Path) -> bool:
    """Whether a path lies in the project, and neither git nor DVC tracks it."""
    from pipeline.core.git import GitError
    from pipeline.data.untracked import is_tracked

    if path.is_absolute() or path.parts[:1] == ("..",):
        return False
    try:
        return not is_tracked(path)
    except GitError:
        return True  # no git here: DVC may track it all the same
