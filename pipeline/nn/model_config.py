"""What a model is built from: one frozen object, from the parameters and the data, that is saved with the weights."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class ModelConfig(BaseModel):
    """Base of every model's configuration. Unknown fields are refused, and no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def of(cls, *settings: BaseModel, **given: Any) -> Self:
        """Each field from `given`, or from the first of the settings (sections of params.yaml) that has its name.

        ValidationError where a field without default is in none of them, or has another type.
        """
        for section in settings:
            shared = cls.model_fields.keys() & type(section).model_fields.keys() - given.keys()
            given |= {name: getattr(section, name) for name in shared}
        return cls(**given)
