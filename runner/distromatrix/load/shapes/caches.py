"""The type of `caches`: folders of a machine that are kept from one run to the next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, WithJsonSchema

from distromatrix.load.shapes.fields import Name, schema_of, text_of, wrong
from distromatrix.plan.caches import CACHES, OURS
from distromatrix.wording import did_you_mean, quoted

_PATH = r"~?(/[A-Za-z0-9@._+-]+)+"
_SYSTEM = (
    *("/bin", "/boot", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/media", "/mnt"),
    *("/opt", "/root", "/run", "/sbin", "/srv", "/tmp", "/usr", "/var", "/var/lib"),  # noqa: S108
)
_KERNELS = ("/proc", "/sys", "/dev")


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _path(value: object) -> str:
    expected = "a folder of the machine such as `~/.cache/pip` or `/var/cache/tool`"
    text = text_of(value, expected)
    path = text.rstrip("/")
    if path in ("", "~"):
        raise wrong(f"{quoted(text)} is all there is: a cache is a folder in it")
    if not path.startswith(("/", "~/")):
        hint = "write `~/…` or an absolute path; what lies in the product is the product's"
        raise wrong(f"expected {expected}; {quoted(text)} is relative", hint)
    if not re.fullmatch(_PATH, path) or {".", ".."} & set(path.split("/")):
        raise wrong(f"expected {expected}, got {quoted(text)}")
    if _below(path, OURS):
        raise wrong(f"{quoted(text)} lies in {OURS}, where the product is")
    if path in _SYSTEM or any(_below(path, folder) for folder in _KERNELS):
        raise wrong(f"{quoted(text)} is the system's: a cache cannot take its place")
    return path


CachePath = Annotated[str, BeforeValidator(_path), schema_of(_PATH)]


def _known(value: Sequence[str]) -> dict[str, str]:
    return {name: CACHES[name] for name in value}


def _apart(value: dict[str, str]) -> dict[str, str]:
    for name, path in value.items():
        for other, outer in value.items():
            if other != name and _below(path, outer):
                raise wrong(f"{quoted(path)} lies in the cache {quoted(other)}", at=name)
    return value


def _kind(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return "<names>"
    return "<mapping>" if isinstance(value, dict) else None


def _known_name(value: object) -> str:
    text = text_of(value, "the name of a cache")
    if text not in CACHES:
        hint = did_you_mean(text, CACHES) or "say where it is: `caches: {NAME: ~/FOLDER}`"
        raise wrong(f"no known cache {quoted(text)}", hint)
    return text


_KnownName = Annotated[str, BeforeValidator(_known_name), WithJsonSchema({"enum": list(CACHES)})]
Caches = Annotated[
    Annotated[tuple[_KnownName, ...], MinLen(1), AfterValidator(_known), Tag("<names>")]
    | Annotated[dict[Name, CachePath], AfterValidator(_apart), Tag("<mapping>")],
    Discriminator(
        _kind,
        custom_error_type="expected",
        custom_error_message="expected names of caches, or a mapping of names and folders",
    ),
]
