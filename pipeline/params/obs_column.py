"""An obs column as a section of params.yaml names it."""

import re
from typing import Any

from pydantic import field_validator, model_validator

from pipeline.params.label import Label
from pipeline.params.section import LONGEST_TEXT, Section, Text


class ObsColumn(Section):
    """An obs column, or the part of it that the pattern's one group matches; a bare name means the whole column."""

    column: Label
    pattern: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return value if isinstance(value, dict | ObsColumn) else {"column": value}

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        if groups != 1:
            raise ValueError(f"must hold exactly one group (...), it has {groups}")
        return pattern

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        return {"anyOf": [{"type": "string", "maxLength": LONGEST_TEXT}, handler(core_schema)]}
