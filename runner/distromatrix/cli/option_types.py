"""Types of option values, checked with the same words as in the YAML files."""

from __future__ import annotations

import click

from distromatrix.model import SEEDS, Shard


class Duration(click.ParamType[float]):
    """`90s`, `10m`, `1h30m`: seconds as a float."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Raises click.BadParameter."""
        from distromatrix.load.shapes.fields import parse_duration

        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Jobs(click.ParamType[int]):
    """A number from 1, or `auto`, which is 0."""

    name = "jobs"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Raises click.BadParameter."""
        number = int(str(value)) if str(value).isdigit() else 0
        if value != "auto" and not 1 <= number <= 1000:
            self.fail(f"{value!r} is neither a number from 1 to 1000 nor `auto`", param, ctx)
        return number


class Field(click.ParamType[str]):
    """A value as the YAML files have it: by the name of its type in `load.fields`."""

    def __init__(self, field: str) -> None:
        self.field = field
        self.name = field.lower()

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The text as it was given. Raises click.BadParameter."""
        from pydantic import TypeAdapter, ValidationError

        from distromatrix.load.shapes import fields

        try:
            TypeAdapter(getattr(fields, self.field)).validate_python(str(value))
        except ValidationError as error:
            given = error.errors(include_url=False)[0]
            self.fail(given.get("ctx", {}).get("text", given["msg"]), param, ctx)
        return str(value)


class Seed(click.ParamType[int]):
    """A whole number from 0 to SEEDS - 1, `random`, or any other text, which stands for one."""

    name = "seed"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Raises click.BadParameter."""
        import secrets
        import zlib

        text = str(value)
        if not text:
            self.fail("a seed is a number, some text, or `random`", param, ctx)
        if text == "random":
            return secrets.randbelow(SEEDS)
        if not (text.isascii() and text.isdigit()):
            return zlib.crc32(text.encode("utf-8", "surrogateescape"))
        if len(text) > 12 or int(text) >= SEEDS:
            self.fail(f"{text} is too big: at most {SEEDS - 1}", param, ctx)
        return int(text)


class ShardOf(click.ParamType[Shard]):
    """`3/10`: the third of ten."""

    name = "shard"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Shard:
        """Raises click.BadParameter."""
        try:
            return Shard.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType[int]):
    """`512M`, `2G`: bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Raises click.BadParameter."""
        from distromatrix.load.shapes.fields import parse_size

        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()
SHARD = ShardOf()
SIZE = Size()
SEED = Seed()
JOBS = Jobs()
