"""The picture of the DAG, for the last section."""

from pathlib import Path

from markupsafe import Markup

from pipeline.core.errors import ExpectedError
from pipeline.report.page import inline_svg


def read_drawing(path: Path) -> Markup:
    """An SVG file of this project, for inlining."""
    try:
        return inline_svg(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExpectedError(f"{path} not found: `python -m pipeline dag --write` draws it") from error
    except ValueError as error:
        raise ExpectedError(f"{path}: {error}: `python -m pipeline dag --write` draws it anew") from error
