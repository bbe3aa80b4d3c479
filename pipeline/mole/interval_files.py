"""Prediction intervals on disk, beside the network that they are of."""

from pathlib import Path

import safetensors
import safetensors.torch

from pipeline.core.errors import ExpectedError
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.mole.model.intervals import Intervals

QUANTILES, ABOUT = "intervals.safetensors", "intervals.json"
NUMBERS = ("seasons", "prior")


def write_intervals(folder: Path, intervals: Intervals) -> None:
    """Into the folder of a network."""
    tensors = {"quantile": intervals.quantile_QCH.contiguous(), "scale": intervals.scale_SCH.contiguous()}
    (folder / QUANTILES).write_bytes(safetensors.torch.save(tensors))
    about = {"levels": intervals.levels, **{name: getattr(intervals, name) for name in NUMBERS}}
    write_sealed(folder / ABOUT, about, QUANTILES)


def read_intervals(folder: Path, made_by: str) -> Intervals:
    """Of the network in `folder`; made_by: the stage that makes both anew. ExpectedError where there are none, or a
    file is damaged."""
    try:
        about = read_sealed(folder / ABOUT, QUANTILES)
        tensors = safetensors.torch.load_file(folder / QUANTILES)
        levels = tuple(float(level) for level in about["levels"])
        numbers = {name: int(about[name]) for name in NUMBERS}
        return Intervals(levels, tensors["quantile"], tensors["scale"], **numbers)
    except FileNotFoundError as error:
        raise ExpectedError(
            f"{error.filename} not found, so the intervals of this forecaster are not calibrated: "
            f"`dvc repro --force {made_by}` trains and calibrates it"
        ) from error
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise ExpectedError(
            f"the intervals in {folder} are damaged: {error}: `dvc repro --force {made_by}` makes them anew"
        ) from error
