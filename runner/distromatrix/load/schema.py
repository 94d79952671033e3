"""JSON Schemas for editors, generated from the types that decode the files.

`python -m distromatrix.load.schema` writes them anew; a test holds them against drift.
"""

from __future__ import annotations

import ast
import inspect
import json
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from distromatrix.load.shapes import distro as distro_shapes
from distromatrix.load.shapes import lock as lock_shapes
from distromatrix.load.shapes import matrix as shapes
from distromatrix.load.shapes import repositories as repository_shapes
from distromatrix.load.shapes import scripts as script_shapes
from distromatrix.load.shapes import settings as settings_shapes
from distromatrix.load.shapes.base import Shape
from distromatrix.load.shapes.distro import DistroShape
from distromatrix.load.shapes.lock import LockShape
from distromatrix.load.shapes.matrix import MatrixShape
from distromatrix.load.shapes.settings import SettingsShape

FOLDER = Path(__file__).resolve().parent.parent / "schemas"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SHAPES: dict[str, type[Shape]] = {
    "matrix": MatrixShape,
    "distro": DistroShape,
    "settings": SettingsShape,
    "lock": LockShape,
}
_MODULES = (
    *(distro_shapes, shapes, script_shapes, repository_shapes, lock_shapes),
    settings_shapes,
)


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas of `matrix`, `distro`, `settings` and `lock` files, by these names."""
    described = _descriptions()
    result = {}
    for name, shape in _SHAPES.items():
        schema = shape.model_json_schema()
        _describe(schema, shape.__name__, described)
        for inner, definition in schema.get("$defs", {}).items():
            _describe(definition, inner, described)
        result[name] = {"$schema": _DIALECT, **_tidy(schema)}
    return result


def schema_file(name: str) -> Path:
    """Where the schema of that name is kept."""
    return FOLDER / f"{name}.schema.json"


def as_text(schema: dict[str, Any]) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _descriptions() -> dict[tuple[str, str], str]:
    """The text below each field of each shape, by class and field. Pydantic can read it too
    (`use_attribute_docstrings`), but does so at each import: 75 ms of every command."""
    found = {}
    classes = (ast.parse(inspect.getsource(module)).body for module in _MODULES)
    for cls in chain.from_iterable(classes):
        if not isinstance(cls, ast.ClassDef):
            continue
        for field, text in pairwise(cls.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                found[cls.name, ast.unparse(field.target)] = inspect.cleandoc(
                    ast.literal_eval(text.value)
                )
    return found


def _describe(schema: dict[str, Any], name: str, described: dict[tuple[str, str], str]) -> None:
    shape = next(found for module in _MODULES if (found := getattr(module, name, None)))
    owners = [cls.__name__ for cls in shape.__mro__]
    for key, field in schema.get("properties", {}).items():
        # A key that is a word of Python's has a field with a `_` behind it.
        names = ((owner, name) for owner in owners for name in (key, f"{key}_"))
        texts = map(described.get, names)
        if text := next((text for text in texts if text), None):
            field["description"] = text


def _tidy(schema: Any) -> Any:
    """Without what follows from our Python and not from the format: generated titles, and the
    null of an optional key, which in a file is absent."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    null = {"type": "null"}
    some = [option for option in schema.get("anyOf", ()) if option != null]
    if len(some) == 1 and len(schema["anyOf"]) == 2:
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        return _tidy({**some[0], **rest})
    return {
        key: {name: _tidy(value) for name, value in content.items()}
        if key in ("properties", "$defs")
        else _tidy(content)
        for key, content in schema.items()
        if not (key == "title" and isinstance(content, str)) and (key, content) != ("default", None)
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        schema_file(name).write_text(as_text(schema), encoding="utf-8")
