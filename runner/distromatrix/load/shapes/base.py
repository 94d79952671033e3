"""What all shapes have in common. The text below each field of a shape is its description in the
JSON Schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

from distromatrix.load.shapes.fields import Context


class Shape(BaseModel):
    """A mapping with a fixed set of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _remember(cls, data: Any, info: ValidationInfo) -> Any:
        # For 'did you mean': pydantic does not say which shape an unknown key was looked up in.
        if isinstance(info.context, Context):
            info.context.shapes[id(data)] = cls
        return data
