"""The run that a command means where it names no folder: the only one of the plan."""

from pathlib import Path

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.params.reading import read_yaml

MOST_NAMED = 8


def only_run(system: str, option: str) -> StudyPaths:
    """The only fold and seed, or sweep, of the only study of a system.

    ExpectedError where plan.yaml lists none or several. option: how to name one, for the message.
    """
    plan = read_yaml(paths.PLAN)["plan"][system] if paths.PLAN.is_file() else {}
    entries = plan.get("runs") or {
        entry["study"]: {"study": entry["study"]} for entry in plan.get("points", {}).values()
    }
    found = [StudyPaths(system, of["study"], of.get("fold"), of.get("seed")) for of in entries.values()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ExpectedError(f"there is no study of {system} here: name a folder with {option}")
    named = ", ".join(str(at.models if at.fold is None else at.model) for at in found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    raise ExpectedError(f"{system} has several models: name one of them with {option}: {named}{more}")


def model_folder(system: str, given: str | Path | None, option: str = "--model") -> Path:
    """The folder that is given, or that of the only model of a system."""
    if given is not None:
        return Path(given)
    at = only_run(system, option)
    return at.models if at.fold is None else at.model
