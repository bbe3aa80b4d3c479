"""What a command means where it names no folder: the only trained model of a system, or the only run of the plan."""

from pathlib import Path

from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.params.reading import read_yaml

MOST_NAMED = 8


def only_run(system: str, option: str) -> StudyPaths:
    """The only fold and seed of the only study that plan.yaml lists.

    ExpectedError where it lists none or several. option: how to name a folder, for the message.
    """
    found = [at for at in _planned(system) if at.fold is not None]
    if len(found) != 1:
        raise _not_one(system, "runs", [at.store for at in found], option)
    return found[0]


def model_folder(system: str, given: str | Path | None, option: str = "--model") -> Path:
    """The folder that is given, or that of the only trained model: of a fold and seed, or a whole sweep."""
    if given is not None:
        return Path(given)
    models = Path("models") / system
    found = [at.models if at.fold is None else at.model for at in _planned(system)]
    found = [path for path in found if path.is_dir()] or found  # of a study alone, that was run
    if not found:  # outside a project, beside copied models
        found = sorted(models.glob("*/*/seed_*")) or sorted(path for path in models.glob("[!.]*") if path.is_dir())
    if len(found) != 1:
        raise _not_one(system, "models", found, option)
    return found[0]


def _planned(system: str) -> list[StudyPaths]:
    """The runs of plan.yaml, or the sweeps."""
    plan = read_yaml(paths.PLAN)["plan"][system] if paths.PLAN.is_file() else {}
    runs = plan.get("runs", {}).values()
    found = list(dict.fromkeys(StudyPaths(system, of["study"], of["fold"], of["seed"]) for of in runs))
    sweeps = dict.fromkeys(of["study"] for of in plan.get("points", {}).values())
    return found or [StudyPaths(system, name) for name in sweeps]


def _not_one(system: str, what: str, found: list[Path], option: str) -> ExpectedError:
    if not found:
        return ExpectedError(f"there are no {what} of {system} here: name a folder with {option}")
    named = ", ".join(map(str, found[:MOST_NAMED]))
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ExpectedError(f"there are {len(found)} {what} of {system}: name one with {option}: {named}{more}")
