"""`python -m pipeline train`: one training outside the DAG, with its own parameters, kept under outputs/<name>.

outputs/<name>/ holds config.yaml (the parameters), curve.csv, metrics.json and, when training has finished, model/.
Checkpoints are kept beside those of stages, and `--resume` continues from the last one.
"""

import argparse
import importlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pipeline.alphastomics.commands.overrides import add_option, differences, overridden, refuse_idle
from pipeline.alphastomics.params.diffusion import SWITCHES, Diffusion
from pipeline.commands.changes import parsed
from pipeline.core import paths
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_folder, sha256, write_json, write_text
from pipeline.core.only_run import only_run
from pipeline.core.provenance import commit_around
from pipeline.core.rank import processes
from pipeline.core.wording import did_you_mean
from pipeline.params.reading import read_yaml

OUTPUTS = Path("outputs")
CONFIG, MODEL = "config.yaml", "model"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DATASET = "dataset.json"  # of a store


SYSTEM, SECTION = "alphastomics", "alphastomics.diffusion"
# Its train_model(settings, store, checkpoints) gives (Fitted, model, description).
STAGE = "pipeline.alphastomics.stages.diffusion_train"


@dataclass(frozen=True)
class Started:
    """The inputs of a training run."""

    settings: Diffusion
    data: Path
    dataset_sha256: str
    commit: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s SYSTEM --exp-name NAME [--resume] [--config FILE] [--data FOLDER] [-S KEY=VALUE ...]"
    parser.add_argument("system", type=_system, metavar="SYSTEM", help=f"what to train: {SYSTEM}")
    parser.add_argument("--exp-name", required=True, metavar="NAME", help=f"of the folder in {OUTPUTS}/ to write")
    parser.add_argument("--resume", action="store_true", help="go on with a training that was stopped, as it was begun")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"the file to take parameters from (default: {paths.PARAMS})"
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="a store (default: that of the only run)")
    add_option(parser, SECTION)


def run(arguments: argparse.Namespace) -> None:
    """Train, and write the run's folder."""
    if processes() > 1:
        raise ExpectedError("train runs in one process: start it without torchrun or accelerate")
    if not _NAME.fullmatch(arguments.exp_name):
        raise ExpectedError(
            f"--exp-name {arguments.exp_name!r}: expected letters, digits, '.', '_' and '-', a letter or digit first"
        )
    folder = OUTPUTS / arguments.exp_name
    started = _resumed(folder, arguments) if arguments.resume else _new(folder, arguments)
    if (folder / MODEL).exists():
        print(f"{folder} is finished: its model is {folder / MODEL}; to train on, start another --exp-name")
        return
    stage = importlib.import_module(STAGE)  # before the checkpoints, whose key holds the loaded code
    if not arguments.resume:
        _begin(folder, started)
    _train(stage.train_model, folder, started, arguments.resume)


def _new(folder: Path, arguments: argparse.Namespace) -> Started:
    if folder.exists():
        raise ExpectedError(f"{folder} exists: choose another --exp-name, or go on with that training: add --resume")
    file = arguments.config or paths.PARAMS
    settings = _settings(file, read_yaml(_existing(file)), arguments.changes)
    data = arguments.data or only_run(SYSTEM, "--data").store
    return Started(settings, data, _hash_of(data), str(commit_around(Path())["commit"]))


def _resumed(folder: Path, arguments: argparse.Namespace) -> Started:
    """What the folder's training was started with. ExpectedError where the arguments ask for something else."""
    if not (folder / CONFIG).is_file():
        known = sorted(path.parent.name for path in OUTPUTS.glob(f"*/{CONFIG}"))
        advice = did_you_mean(folder.name, known, f"{OUTPUTS} holds {', '.join(known) or 'none'}")
        raise ExpectedError(f"there is no training in {folder} to resume; {advice}")
    recorded = read_yaml(folder / CONFIG)
    settings = _settings(folder / CONFIG, recorded, [])
    try:
        started = Started(settings, Path(recorded["data"]), str(recorded["dataset_sha256"]), str(recorded["commit"]))
    except (KeyError, TypeError) as error:
        raise ExpectedError(f"{folder / CONFIG} is not as train wrote it: start again under another name") from error
    file = arguments.config or folder / CONFIG
    asked = _settings(file, read_yaml(_existing(file)), arguments.changes)
    problems = differences(settings, asked)
    data = arguments.data or started.data
    if _hash_of(data) != started.dataset_sha256:
        problems.append(f"data: {data} is not what it was, or not what was trained on ({started.data})")
    if problems:
        raise ExpectedError(
            f"{folder} was started otherwise than asked for now, so it cannot be resumed (there and here):\n  "
            + "\n  ".join(problems)
            + "\nleave out what differs, or start again under another --exp-name"
        )
    return replace(started, data=data)


def _settings(file: Path, content: Any, changes: list[str]) -> Diffusion:
    settings = overridden(Diffusion, SECTION, content, changes, str(file))
    if settings.processes > 1:
        raise ExpectedError(
            f"train runs in one process, and {file} asks for {settings.processes}: add -S {SECTION}.processes=1"
        )
    refuse_idle(settings, parsed(changes, SECTION), SWITCHES)
    return settings


def _begin(folder: Path, started: Started) -> None:
    """Make the run's folder; checkpoints of an earlier run of this name are gone."""
    shutil.rmtree(_checkpoints_of(folder), ignore_errors=True)
    section: dict[str, Any] = started.settings.model_dump()
    for name in reversed(SECTION.split(".")):  # as params.yaml has it
        section = {name: section}
    content = {
        "data": str(started.data),
        "dataset_sha256": started.dataset_sha256,
        "commit": started.commit,
        **section,
    }
    with atomic_folder(folder) as partial:
        header = "# What this training was started with: the command line over the file.\n"
        write_text(partial / CONFIG, header + yaml.safe_dump(content, sort_keys=False))


def _train(train_model: Callable[..., Any], folder: Path, started: Started, resume: bool) -> None:
    import torch

    from pipeline.training.checkpoint import checkpoints
    from pipeline.training.curves import write_curve
    from pipeline.training.metrics import training_metrics
    from pipeline.training.weights import save_model

    kept_in = _checkpoints_of(folder)
    stage = str(kept_in.relative_to(paths.CHECKPOINTS))
    kept = checkpoints(stage, started.settings, [started.data / _DATASET])
    if resume and kept_in.exists() and kept.load(torch.device("cpu")) is None:
        raise ExpectedError(
            f"{folder} cannot be resumed: the checkpoints in {kept_in} are damaged, or the code, torch or {CONFIG} has "
            f"changed since; go back to what it was (commit {started.commit}), or start again under another --exp-name"
        )
    try:
        fitted, model, description = train_model(started.settings, started.data, kept)
    except ExpectedError:
        if not kept_in.exists():  # nothing was learned, so the name is free for another try
            shutil.rmtree(folder)
        raise
    write_curve(folder / "curve.csv", fitted.curve)
    write_json(folder / "metrics.json", training_metrics(fitted, model))
    save_model(folder / MODEL, model, description)
    shutil.rmtree(kept_in, ignore_errors=True)
    loss = fitted.validation["loss"]
    print(f"best of {len(fitted.curve)} epochs: {fitted.best_epoch}, validation loss {loss:.4f}\nwrote {folder}")


def _checkpoints_of(folder: Path) -> Path:
    return paths.CHECKPOINTS / "train" / folder.name


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise ExpectedError(f"{file} not found: name a file like {paths.PARAMS}, and run this from the project's root")
    return file


def _hash_of(data: Path) -> str:
    if not (data / _DATASET).is_file():
        raise ExpectedError(f"no store in {data}: make the DAG's with dvc repro, or name another: --data")
    return sha256(data / _DATASET)


def _system(text: str) -> str:
    if text == SYSTEM:
        return text
    advice = did_you_mean(text, [SYSTEM], f"there is {SYSTEM}")
    raise argparse.ArgumentTypeError(f"no system {text!r}; {advice}")
