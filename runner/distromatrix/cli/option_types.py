"""Types of option values, checked with the same words as in the YAML files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from distromatrix.model import SEEDS, Shard


class Parsed(click.ParamType[Any]):
    """A value that `parse` makes of a text, or raises ValueError with what is wrong with it."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Raises click.BadParameter."""
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def field(name: str) -> Parsed:
    """A text as the YAML files have it: by the name of its type in `load.shapes.fields`."""

    def parse(text: str) -> str:
        from pydantic import TypeAdapter, ValidationError

        from distromatrix.load.shapes import fields

        try:
            TypeAdapter(getattr(fields, name)).validate_python(text)
        except ValidationError as error:
            given = error.errors(include_url=False)[0]
            raise ValueError(given.get("ctx", {}).get("text", given["msg"])) from None
        return text

    return Parsed(name.lower(), parse)


def _duration(text: str) -> float:
    from distromatrix.load.shapes.fields import parse_duration

    return parse_duration(text)


def _size(text: str) -> int:
    from distromatrix.load.shapes.fields import parse_size

    return parse_size(text)


def _jobs(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if text != "auto" and not 1 <= number <= 1000:
        raise ValueError(f"{text!r} is neither a number from 1 to 1000 nor `auto`")
    return number


def _seed(text: str) -> int:
    import secrets
    import zlib

    if not text:
        raise ValueError("expected a number, some text, or `random`")
    if text == "random":
        return secrets.randbelow(SEEDS)
    if not (text.isascii() and text.isdigit()):
        return zlib.crc32(text.encode("utf-8", "surrogateescape"))
    if len(text) > 12 or int(text) >= SEEDS:
        raise ValueError(f"{text} is too large (at most {SEEDS - 1})")
    return int(text)


DURATION = Parsed("duration", _duration)  # `90s`, `10m`, `1h30m`: seconds as a float
SIZE = Parsed("size", _size)  # `512M`, `2G`: bytes
SHARD = Parsed("shard", Shard.parse)  # `3/10`: the third of ten
SEED = Parsed("seed", _seed)  # from 0 to SEEDS - 1, `random`, or another text, which stands for one
JOBS = Parsed("jobs", _jobs)  # from 1, or `auto`, which is 0
