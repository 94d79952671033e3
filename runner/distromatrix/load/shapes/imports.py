"""What `import` below `suites` looks like."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from distromatrix.load.shapes.base import Shape
from distromatrix.load.shapes.fields import matching, one_or_more

_FOLDER = r"(?!/)[A-Za-z0-9._/+-]{1,200}"
_SCHEMA = {"type": "string", "pattern": f"^{_FOLDER}$"}
IMPORTS_SCHEMA: dict[str, Any] = {
    "description": "Folders of the product whose tests become suites at each run.",
    "anyOf": [_SCHEMA, {"type": "array", "items": _SCHEMA, "minItems": 1}],
}
ImportFolder = Annotated[
    str, matching("a folder of the product with tests, such as `debian/tests`", _FOLDER)
]


class ImportsShape(Shape):
    """What is taken out of a matrix file's `suites` before they are looked at."""

    import_: Annotated[tuple[ImportFolder, ...], *one_or_more(_SCHEMA)] = Field(alias="import")
    """Folders of the product."""
