"""The types of the fields that say what a rule expects to fail."""

from __future__ import annotations

from typing import Annotated, get_args

from annotated_types import MinLen
from pydantic import BeforeValidator, WithJsonSchema

from distromatrix.load.shapes.fields import one_or_more, whole_number, wrong
from distromatrix.model import FailureKind
from distromatrix.wording import did_you_mean, kind, listing

_KINDS = get_args(FailureKind)


def _reason(value: object) -> str:
    if not isinstance(value, str):
        raise wrong(f"expected text, got {kind(value)}")
    if not value.strip():
        raise wrong("the reason is left open", "say why")
    return value


def _case_glob(value: object) -> str:
    expected = "the name of a case or a glob of such, such as `*iconv*`"
    if not isinstance(value, str) or not value.strip():
        raise wrong(f"expected {expected}, got {kind(value)}")
    if "\n" in value.strip():
        raise wrong(f"expected {expected}, got several lines", "give each an entry of its own")
    return value.strip()


def _kind(value: object) -> str:
    if not isinstance(value, str) or value not in _KINDS:
        text = value if isinstance(value, str) else ""
        hint = did_you_mean(text, _KINDS) or f"expected {listing(_KINDS)}"
        raise wrong(f"nothing fails in {kind(value)}", hint)
    return value


Reason = Annotated[
    str,
    BeforeValidator(_reason),
    WithJsonSchema({"type": ["string", "number", "boolean"], "minLength": 1}),
]
_CaseGlob = Annotated[
    str,
    BeforeValidator(_case_glob),
    WithJsonSchema({"type": ["string", "number", "boolean"], "minLength": 1}),
]
CaseGlobs = Annotated[tuple[_CaseGlob, ...], MinLen(1)]
_Kind = Annotated[FailureKind, BeforeValidator(_kind)]
FailureKinds = Annotated[tuple[_Kind, ...], *one_or_more({"enum": list(_KINDS)})]
_Status = Annotated[int, *whole_number("an exit status", 1, 255)]
Statuses = Annotated[
    tuple[_Status, ...], *one_or_more({"type": "integer", "minimum": 1, "maximum": 255})
]
