"""A label of the data as params.yaml names it."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from pipeline.params.section import LONGEST_LIST, LONGEST_TEXT


def label_text(value: Any) -> str:
    """A value as the text that labels are compared by, in params.yaml as in files.

    A whole number stored as float has no fraction (101.0 is "101"): pandas turns integers into floats where one is
    missing.
    """
    whole = hasattr(value, "is_integer") and not isinstance(value, int) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _as_label(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("is no text to YAML: put it in quotation marks, spelled as in the file")  # noqa: TRY004 - pydantic's
    return label_text(value)


_WRITTEN = {"anyOf": [{"type": "string", "maxLength": LONGEST_TEXT}, {"type": "number"}]}

Label = Annotated[str, BeforeValidator(_as_label), Field(max_length=LONGEST_TEXT), WithJsonSchema(_WRITTEN)]
Labels = Annotated[list[Label], Field(max_length=LONGEST_LIST)]
