"""Inputs of the last section, on the run itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.core.errors import ExpectedError
from pipeline.core.paths import SystemPaths
from pipeline.report.page import inline_svg
from pipeline.report.reading import read_json, stage

_DATASET = ("description", "input_sha256", "control", "genes", "categories", "held_out", "splits")


def read_dataset() -> Mapping[str, Any]:
    """dataset.json of the perturbation data."""
    return read_json(SystemPaths("cfm_vc").store / "dataset.json", stage("preprocess@cfm_vc"), _DATASET)


def read_drawing(path: Path) -> Markup:
    """An SVG file of this project, for inlining."""
    try:
        return inline_svg(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExpectedError(f"{path} not found: `python -m pipeline dag --write` draws it") from error
    except ValueError as error:
        raise ExpectedError(f"{path}: {error}: `python -m pipeline dag --write` draws it anew") from error
