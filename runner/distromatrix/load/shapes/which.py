"""The types of the fields that say which cells there are, and which of them count."""

from __future__ import annotations

import re
from typing import Annotated, get_args

from pydantic import BeforeValidator, ValidationInfo

from distromatrix.load.shapes.fields import (
    GLOB,
    NAME,
    Context,
    glob_over,
    schema_of,
    text_of,
    whole_number,
    wrong,
)
from distromatrix.model import Family, Libc
from distromatrix.plan.needs import NEEDS
from distromatrix.plan.select import NOT
from distromatrix.wording import did_you_mean, listing, quoted

# What pytest or a plugin of its that many have does with a mark of that name, and the words of
# `-m`: a tag must not skip, repeat or excuse anything.
_PYTEST = (
    *("and", "or", "not", "skip", "skipif", "xfail", "parametrize", "usefixtures"),
    *("filterwarnings", "flaky", "timeout", "asyncio", "anyio", "order", "dependency"),
    *("xdist_group", "django_db", "distros"),
)
_OF_CELLS = (*get_args(Family), *get_args(Libc), *NEEDS, "needs")

ChosenGlob = Annotated[
    str,
    glob_over("distro", lambda c: c.chosen, " of this matrix"),
    schema_of(GLOB),
]


def _tag(value: object) -> str:
    expected = "a tag of lower-case letters, digits, `.`, `_` and `-`"
    text = text_of(value, expected)
    if not re.fullmatch(NAME, text) or ".." in text:
        raise wrong(f"expected {expected}, got {quoted(text)}")
    if text in _OF_CELLS:
        raise wrong(f"{quoted(text)} cannot be a tag: its cells already have that mark")
    if text in _PYTEST:
        raise wrong(f"{quoted(text)} cannot be a tag: it means something else to pytest")
    return text


def _known_tag(value: object, info: ValidationInfo) -> str:
    text = text_of(value, "a tag, or `!` and a tag")
    known = info.context.tags if isinstance(info.context, Context) else ()
    if (name := text.removeprefix(NOT)) not in known:
        there = f"there is {listing(known[:8])}" if known else "no suite, variant or rule has any"
        raise wrong(f"nothing has the tag {quoted(name)}", did_you_mean(name, known) or there)
    return text


TagName = Annotated[str, BeforeValidator(_tag), schema_of(NAME)]
KnownTag = Annotated[str, BeforeValidator(_known_tag), schema_of(f"!?{NAME}")]
SkipStatus = Annotated[
    int,
    *whole_number(
        "an exit status", 1, 125, lambda text: "0 is what success ends with" * (not text.strip("0"))
    ),
]
