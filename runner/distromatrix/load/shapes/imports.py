"""What `import` below `suites` looks like."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import Discriminator, Field, Tag

from distromatrix.load.shapes.base import Shape
from distromatrix.load.shapes.fields import matching, one_or_more

_FOLDER = r"(?!/)[A-Za-z0-9._/+-]{1,200}"
_PREFIX = "[a-z0-9][a-z0-9._-]{0,29}"
_SCHEMA = {"type": "string", "pattern": f"^{_FOLDER}$"}
IMPORTS_SCHEMA: dict[str, Any] = {
    "description": "Folders of the product whose tests become suites at each run; in a mapping, "
    "each with what its suites' names begin with.",
    "anyOf": [
        _SCHEMA,
        {"type": "array", "items": _SCHEMA, "minItems": 1},
        {
            "type": "object",
            "patternProperties": {f"^{_PREFIX}$": _SCHEMA},
            "additionalProperties": False,
            "minProperties": 1,
        },
    ],
}
ImportFolder = Annotated[
    str, matching("a folder of the product with tests, such as `debian/tests`", _FOLDER)
]
Prefix = Annotated[
    str,
    matching("a prefix of up to 30 lower-case letters, digits, `.`, `_` and `-`", _PREFIX),
]


class ImportsShape(Shape):
    """What is taken out of a matrix file's `suites` before they are looked at."""

    import_: Annotated[
        Annotated[tuple[ImportFolder, ...], *one_or_more(_SCHEMA), Tag("<list>")]
        | Annotated[dict[Prefix, ImportFolder], MinLen(1), Tag("<mapping>")],
        Discriminator(lambda value: "<mapping>" if isinstance(value, dict) else "<list>"),
    ] = Field(alias="import")
    """Folders of the product; in a mapping, each with what its suites' names begin with."""
