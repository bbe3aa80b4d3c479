"""How a stage starts: validated parameters in, one clear message and exit code 2 on an expected problem."""

import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from pipeline.core import paths
from pipeline.core.errors import ExpectedError, expected_error
from pipeline.core.files import read_json
from pipeline.core.paths import StudyPaths
from pipeline.core.rank import ask_for, can_ask, let_others_speak, processes
from pipeline.core.wording import did_you_mean
from pipeline.params.reading import read_yaml, select_section, validated

OF_ACCELERATE = "ACCELERATE_USE_CPU"  # set by `accelerate launch` where it starts one process


def guarded(action: Callable[[], None], debug: bool = False) -> NoReturn:
    """Run `action` and exit: 0 on success, 2 with one message on an expected problem, a traceback on a bug, 130 on
    Ctrl-C."""
    escape_unprintable()
    try:
        action()
    except Exception as error:
        expected = expected_error(error)
        let_others_speak(error)
        if expected is None:
            raise
        _fail(expected, debug, cause=error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def escape_unprintable() -> None:
    """From here on, escape characters that the terminal's or log's encoding lacks instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(error: ExpectedError, debug: bool, cause: BaseException) -> NoReturn:
    if debug:
        if cause is not error:
            error.__cause__ = cause
        raise error
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def run_stage(section: str | None, run: Callable[..., None]) -> NoReturn:
    """Entry of a stage of no study: hand `run` its section of params.yaml once the whole file is valid, and exit.

    One without a section takes nothing, and params.yaml is not read.
    """
    debug, given = _arguments()

    def action() -> None:
        if given:
            raise ExpectedError(f"unexpected argument {given[0]!r}: a stage takes none but --debug")
        _refuse_several()
        if section is None:
            run()
            return
        # By name: an import would make every stage depend on the sections of all.
        registry = importlib.import_module("pipeline.registry")
        params = validated(registry.Params, read_yaml(paths.PARAMS), str(paths.PARAMS))
        run(select_section(params, section))

    guarded(action, debug)


def run_study_stage(
    sections: str | Sequence[str], run: Callable[..., None], trains: bool = False, kind: str | None = None
) -> NoReturn:
    """Entry of a stage that exists for each study, fold, run or point: hand `run` the settings of its instance and
    where its files lie, and exit.

    sections: dotted keys such as `cfm_vc.flow`. A stage sees no other settings than these, so what dvc.yaml lists
    under `params` is what it can read. The instance is the one argument, `kang-b_cells-0`, or, where DVC started the
    stage, what follows @ in the stage's name. DVC would put it into a command unquoted, and it comes from params.yaml.
    One that `trains` runs in as many processes as its first section, or the recipe in it, says; any other in one.
    kind: of the entries of plan.yaml that are its instances, where these are not studies, folds, runs or points.
    """
    debug, given = _arguments()
    listed = [sections] if isinstance(sections, str) else list(sections)
    system = listed[0].partition(".")[0]

    def action() -> None:
        named = given or [os.environ.get("DVC_STAGE", "").partition("@")[2]]
        if len(named) > 1:
            raise ExpectedError(f"unexpected argument {named[1]!r}: a stage takes its instance and --debug")
        at = instance(system, named[0], kind)
        settings = read_settings(at, listed, run)
        if trains:
            asked = getattr(settings[0], "recipe", settings[0])
            if asked.processes > 1 and can_ask():
                ask_for(asked.processes, asked.threads)
            if OF_ACCELERATE in os.environ and processes() == 1:
                print(
                    "note: accelerate has started one process, as it does without --multi_gpu, whatever "
                    "--num_processes says",
                    file=sys.stderr,
                )
        else:
            _refuse_several()
        run(*settings, at)

    guarded(action, debug)


def _refuse_several() -> None:
    """ExpectedError where this is one of several processes, of a stage that does not train."""
    if processes() > 1:
        raise ExpectedError(
            "this stage trains nothing and runs in one process: start it without torchrun or accelerate"
        )


def instance(system: str, name: str, kind: str | None = None) -> StudyPaths:
    """The stage instance of this name, with or without the system before it. ExpectedError where plan.yaml has none."""
    plan = (read_yaml(paths.PLAN) if paths.PLAN.is_file() else {}).get("plan", {})
    listed: dict[str, dict[str, Any]] = {}
    usual = (*plan.get(system, {}).values(), plan.get("studies", {}), plan.get("folds", {}))
    for group in [plan.get(kind, {})] if kind else usual:
        for key, entry in group.items():
            if entry.get("system", system) == system:
                listed[key.removeprefix(f"{system}-")] = entry
    entry = listed.get(name.removeprefix(f"{system}-"))
    if entry is None:
        advice = did_you_mean(name, listed, f"plan.yaml has {', '.join(listed) or 'none'}")
        raise ExpectedError(f"no instance {name!r} of a stage of {system}: {advice}")
    file = Path(entry["copy"]).name if "copy" in entry else None
    at = StudyPaths(system, entry["study"], entry.get("fold"), entry.get("seed"), entry.get("point"), file)
    return replace(at, member=entry.get("member", 0))


def read_settings(at: StudyPaths, sections: Sequence[str], run: Callable[..., None]) -> list[Any]:
    """The settings of an instance, each as the type that `run` names; of preprocessing, those of its fold."""
    keys = [section.partition(".")[2] for section in sections]
    content = read_json(at.settings)
    kinds = list(get_type_hints(run).values())
    found = []
    for key, kind in zip(keys, kinds, strict=False):
        inside = content[key]
        if key == "preprocess":
            inside = inside[at.fold]
        found.append(validated(kind, inside, f"{at.settings}, {key}"))
    return found


def _arguments() -> tuple[bool, list[str]]:
    """Whether --debug is among the arguments, and the others."""
    arguments = sys.argv[1:]
    return "--debug" in arguments, [argument for argument in arguments if argument != "--debug"]
