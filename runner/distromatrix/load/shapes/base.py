"""What all shapes have in common. The text below each field of a shape is its description in the
JSON Schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator, ValidationInfo, model_validator

from distromatrix.load.shapes.fields import Context
from distromatrix.wording import quoted


class Shape(BaseModel):
    """A mapping with a fixed set of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _remember(cls, data: Any, info: ValidationInfo) -> Any:
        # For 'did you mean': pydantic does not say which shape an unknown key was looked up in.
        if isinstance(info.context, Context):
            info.context.shapes[id(data)] = cls
        return data


def one_key_of(*keys: str) -> Discriminator:
    """Tells mappings apart by which one of these keys they have: `<KEY>` is the tag of each."""

    def tag(value: Any) -> str | None:
        found = [key for key in keys if key in value] if isinstance(value, dict) else []
        return f"<{found[0]}>" if len(found) == 1 else None

    *first, last = (quoted(key) for key in keys)
    return Discriminator(
        tag,
        custom_error_type="expected",
        custom_error_message=f"expected a mapping with one of {', '.join(first)} and {last}",
    )
