"""A document to a shape: validation, and its errors in plain words at their places."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from distromatrix.load.document import Document
from distromatrix.load.shapes.base import Shape
from distromatrix.load.shapes.fields import Context
from distromatrix.wording import did_you_mean, kind, listing, quoted

_HINTED = 100  # finding near names takes time: a file full of nonsense gets no more than these

S = TypeVar("S", bound=Shape)


def decode(shape: type[S], document: Document, context: Context | None = None) -> S | None:
    """What the document says, or None with its faults noted in it."""
    if document.root is None:
        return None
    context = context or Context()
    data = document.root.plain()
    document.spoilt = frozenset((f.line, f.column) for f in document.faults)
    try:
        decoded = shape.model_validate(data, context=context)
    except ValidationError as error:
        for count, details in enumerate(error.errors(include_url=False)):
            _note(document, data, context, details, hinted=count < _HINTED)
        return None
    return None if document.faults else decoded


def _note(
    document: Document, data: Any, context: Context, error: ErrorDetails, *, hinted: bool
) -> None:
    # `[key]` says that the error is in the key before it.
    if error["type"] == "too_short" and error["input"]:
        return  # there are entries, each with a fault of its own
    on_key = error["type"] in ("extra_forbidden", "missing") or error["loc"][-1:] == ("[key]",)
    steps, owner = _steps(error["loc"], data)
    given = error.get("ctx", {})
    if error["type"] == "fault" and given["at"]:
        steps.append(given["at"])
    message, hint = _in_words(error, steps)
    if error["type"] == "extra_forbidden" and hinted:
        hint = _near_key(owner, context, steps)
    if error["type"] == "missing":
        steps.pop()
    at = document.locate(steps, key=on_key)
    if at[:2] not in document.spoilt:
        document.fault(message, hint, at=at)


def _in_words(error: ErrorDetails, steps: list[str | int]) -> tuple[str, str]:
    """The message and the hint for one of pydantic's errors."""
    key = quoted(str(steps[-1])) if steps else ""
    given = error.get("ctx", {})
    value = error["input"]
    message, hint = f"{error['msg']}, got {kind(value)}", ""
    match error["type"]:
        case "fault":
            message, hint = given["text"], given["hint"]
        case "missing":
            message = f"{key} is missing"
        case "extra_forbidden":
            message = f"unknown key {key}"
        case "too_short":
            message = "expected at least one entry"
        case "literal_error":
            known = re.findall(r"'([^']*)'", given["expected"])
            message = f"expected {listing(known)}, got {kind(value)}"
            hint = did_you_mean(str(value), known)
        case "tuple_type":
            message = f"expected a list, got {kind(value)}"
            short = isinstance(value, str) and 0 < len(value) < 30
            plain = short and re.fullmatch(r"[\w./-][\w./*-]*", value)
            hint = f"write [{value if plain else json.dumps(value)}]" if short else ""
        case "dict_type" | "model_type" | "model_attributes_type":
            message = f"expected a mapping of keys, got {kind(value)}"
    return message, hint


def _steps(loc: tuple[str | int, ...], data: Any) -> tuple[list[str | int], Any]:
    """What of an error's place are keys and indexes of the file's, and what the last of them is
    in. Tags of unions (`<text>`) are none, unless somebody has given a key such a name."""
    steps: list[str | int] = []
    owner = None
    for step in loc:
        there = step in (data if isinstance(data, dict) else _indexes(data))
        if there or not str(step).startswith(("<", "[")):
            steps.append(step)
            owner, data = data, data[step] if there else None
    return steps, owner


def _indexes(data: Any) -> range:
    return range(len(data)) if isinstance(data, list) else range(0)


def _near_key(owner: Any, context: Context, steps: list[str | int]) -> str:
    shape = context.shapes.get(id(owner))
    fields = shape.model_fields if shape else {}
    known = sorted(field.alias or name for name, field in fields.items())
    near = did_you_mean(str(steps[-1]), known)
    return near or (f"known keys are {', '.join(known)}" if len(known) <= 4 else "")
