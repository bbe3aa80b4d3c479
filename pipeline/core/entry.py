"""How a stage starts: validated parameters in, one clear message and exit code 2 on an expected problem."""

import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pipeline.core import paths
from pipeline.core.errors import ExpectedError, expected_error
from pipeline.params.reading import read_yaml, select_section, validated


def guarded(action: Callable[[], None], debug: bool = False) -> NoReturn:
    """Run `action` and exit: 0 on success, 2 with one message on an expected problem, a traceback on a bug, 130 on
    Ctrl-C."""
    escape_unprintable()
    try:
        action()
    except Exception as error:
        expected = expected_error(error)
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


def run_stage(sections: str | Sequence[str] | None, run: Callable[..., None]) -> NoReturn:
    """Entry of a stage module: validate all of params.yaml, hand `run` its own sections only, exit.

    A stage sees no other sections than its own, so what dvc.yaml lists under `params` is what the stage can read. One
    without parameters has no section: `run` takes nothing, and params.yaml is not read.
    """
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    unknown = [argument for argument in arguments if argument != "--debug"]

    def action() -> None:
        if unknown:
            raise ExpectedError(f"unexpected argument {unknown[0]!r}: a stage takes none but --debug")
        run(*_settings(sections))

    guarded(action, debug)


def run_point_stage(section: str, run: Callable[[Any, str], None]) -> NoReturn:
    """Entry of a stage that exists once per point of a sweep, whose points are the keys of `section`'s `points`.

    The point is the one argument, or, where DVC started the stage, what follows @ in the stage's name. DVC would put it
    into a command unquoted, and it comes from params.yaml.
    """
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    given = [argument for argument in arguments if argument != "--debug"]

    def action() -> None:
        (settings,) = _settings(section)
        names = given or [os.environ.get("DVC_STAGE", "").partition("@")[2]]
        if len(names) != 1 or names[0] not in settings.points:
            raise ExpectedError(
                f"this stage takes one point of {section}.points: {', '.join(settings.points)}; got "
                f"{' '.join(names) or 'nothing'}"
            )
        run(settings, names[0])

    guarded(action, debug)


def _settings(sections: str | Sequence[str] | None) -> list[Any]:
    """A stage's sections of params.yaml, once the whole file has been checked.

    All sections are loaded by name and not by an import, which would make every stage depend on the sections of all: no
    result of a stage depends on more than its own, which it imports for its type.
    """
    if sections is None:
        return []
    registry = importlib.import_module("pipeline.registry")
    params = validated(registry.Params, read_yaml(paths.PARAMS), str(paths.PARAMS))
    return [select_section(params, section) for section in ([sections] if isinstance(sections, str) else sections)]
