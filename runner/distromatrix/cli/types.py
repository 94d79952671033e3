"""Types of option values, checked with the same words as in the YAML files."""

from __future__ import annotations

import click


class Duration(click.ParamType):
    """`90s`, `10m`, `1h30m`: seconds as a float."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Raises click.BadParameter."""
        from distromatrix.load.words import parse_duration

        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Jobs(click.ParamType):
    """A number from 1, or `auto`, which is None."""

    name = "jobs"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Raises click.BadParameter."""
        if value == "auto":
            return None
        if str(value).isdigit() and 1 <= int(str(value)) <= 1000:
            return int(str(value))
        self.fail(f"{value!r} is neither a number from 1 to 1000 nor `auto`", param, ctx)


DURATION = Duration()
JOBS = Jobs()
