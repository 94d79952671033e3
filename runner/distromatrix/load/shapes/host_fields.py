"""The types of fields that name something of the project or of hosts: folders, engines, runners,
registries, mirrors."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Annotated, get_args

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from distromatrix.load.shapes.fields import (
    Context,
    matching,
    one_of,
    one_or_more,
    schema_of,
    text_of,
    wrong,
)
from distromatrix.model import AccelWanted
from distromatrix.plan import needs
from distromatrix.plan.runners import HOSTED
from distromatrix.wording import did_you_mean, listing, quoted


def _product_folder(value: object, info: ValidationInfo) -> Path:
    path, mode = below_root(text_of(value, "a folder"), info)
    if not stat.S_ISDIR(mode):
        is_what = "is not a folder" if mode else "does not exist"
        raise wrong(f"the product's folder {quoted(str(path))} {is_what}")
    return path


def _ca_bundle(value: object, info: ValidationInfo) -> str:
    text = text_of(value, "`host`, `none` or a file")
    if text in ("host", "none"):
        return text
    path, mode = below_root(text, info)
    if not stat.S_ISREG(mode):
        raise wrong(f"no file {quoted(str(path))}", "expected `host`, `none` or a file")
    return str(path)


def below_root(text: str, info: ValidationInfo) -> tuple[Path, int]:
    """The path that `text` means, and its mode; 0 if nothing is there."""
    root = info.context.root if isinstance(info.context, Context) else Path()
    try:
        path = Path(root / Path(text).expanduser()).resolve()
        return path, path.stat().st_mode
    except FileNotFoundError:
        return path, 0
    except (RuntimeError, OSError, ValueError) as error:  # no such user, too long, a loop, …
        what = getattr(error, "strerror", None) or error
        raise wrong(f"{quoted(text)} is not a usable path: {what}") from None


ProductFolder = Annotated[Path, BeforeValidator(_product_folder), schema_of()]


CaBundle = Annotated[str, BeforeValidator(_ca_bundle)]


def _jobs(value: object) -> int | None:
    text = text_of(value, "a number of cells, or `auto`")
    if text == "auto":
        return None
    if not re.fullmatch(r"\d{1,4}", text) or int(text) == 0:
        raise wrong(f"expected a number of cells, or `auto`, got {quoted(text)}")
    return int(text)


Jobs = Annotated[
    int | None,
    BeforeValidator(_jobs),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
]


EngineName = Annotated[str, *one_of(needs.CONTAINERS, "engine")]
AccelName = Annotated[AccelWanted, *one_of(get_args(AccelWanted), "accel")]


def _runner_key(value: object) -> str:
    expected = "an engine, an architecture or ENGINE/ARCHITECTURE"
    text = text_of(value, expected)
    first, slash, arch = text.partition("/")
    if first in _ENGINES and (not slash or arch in HOSTED):
        return text
    if text in HOSTED:
        return text
    known = (*_ENGINES, *HOSTED)
    hint = did_you_mean(arch if first in _ENGINES else first, known)
    raise wrong(f"expected {expected}, got {quoted(text)}", hint or f"there is {listing(known)}")


_ENGINES = (*needs.CONTAINERS, *needs.GUESTS)


_LABEL = r"[A-Za-z0-9]([A-Za-z0-9 ._-]{0,98}[A-Za-z0-9])?"


RunnerKey = Annotated[
    str,
    BeforeValidator(_runner_key),
    schema_of(f"(({'|'.join(_ENGINES)})(/({'|'.join(HOSTED)}))?|{'|'.join(HOSTED)})"),
]


_RunnerLabel = Annotated[
    str, matching("a runner's label such as `ubuntu-latest`", _LABEL), schema_of(_LABEL)
]


RunnerLabels = Annotated[
    tuple[_RunnerLabel, ...], *one_or_more({"type": "string", "pattern": f"^{_LABEL}$"})
]


Registry = Annotated[
    str,
    matching(
        "a registry without scheme, such as `mirror.example:5000/hub`",
        r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9][a-z0-9._-]*)*",
    ),
]


MirrorUrl = Annotated[
    str, matching("a URL such as `http://mirror.example/debian`", r"(https?|file)://[^\s'\"$`\\]+")
]
