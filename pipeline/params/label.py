"""A label of the data as it is written in params.yaml."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from pipeline.params.section import LONGEST_LIST, LONGEST_TEXT

EXACT = 2**53  # above it, not every whole number is a float


def label_text(value: Any) -> str:
    """A value as the text that labels are compared by, in params.yaml as in files.

    A whole number stored as float has no fraction (101.0 is "101"): pandas turns integers into floats where one is
    missing.
    """
    whole = hasattr(value, "is_integer") and not isinstance(value, int) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _as_label(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= EXACT
    if not (number or isinstance(value, str)):
        raise ValueError("is no text to YAML: put it in quotation marks, spelled as in the file")
    return label_text(value)


_NUMBER = {"type": "number", "minimum": -EXACT, "maximum": EXACT}
_WRITTEN = {"anyOf": [{"type": "string", "maxLength": LONGEST_TEXT}, _NUMBER]}

Label = Annotated[str, BeforeValidator(_as_label), Field(max_length=LONGEST_TEXT), WithJsonSchema(_WRITTEN)]
Labels = Annotated[list[Label], Field(max_length=LONGEST_LIST)]
