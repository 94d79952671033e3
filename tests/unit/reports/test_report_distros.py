"""The catalogue on a terminal: as much of it as the screen is wide."""

import io
from collections.abc import Sequence
from datetime import date

import pytest
from rich.console import Console

from distromatrix.load import load_distros
from distromatrix.model import Distro, Pull
from distromatrix.reports.terminal.distros import show_distros

TODAY = date(2026, 11, 24)
LONGEST = "a title that is far longer than any other one in the whole of the catalogue"


def distro(name: str, **more: object) -> Distro:
    values: dict[str, object] = {
        "title": name.title(),
        "family": "other",
        "package_manager": "apt",
        "libc": "glibc",
        "image": (Pull(ref="x"),),
    }
    return Distro(name=name, **(values | more))


def shown(distros: Sequence[Distro], width: int, encoding: str = "utf-8") -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    show_distros(console, distros, TODAY)
    out.flush()
    return out.buffer.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [80, 140])
def test_the_catalogue_fits_its_screen_with_nothing_cut(width: int) -> None:
    distros = load_distros(None)
    head, *lines, last = shown(distros, width)
    assert all(len(line) <= width for line in (head, *lines, last))
    assert [line[3:].split()[0] for line in lines] == [d.name for d in distros]
    assert "…" not in "".join(lines)
    assert ("title" in head) is (width == 140)


def test_verified_or_not_is_plain_at_every_width() -> None:
    distros = (distro("seen", verified=date(2026, 11, 1)), distro("unseen"))
    for width in (80, 140):
        _, seen, unseen, last = shown(distros, width)
        assert seen.startswith("✓  seen")
        assert unseen.startswith("   unseen")
        assert last == "2 distros: 1 verified here (✓)"
    assert seen.split()[-2:] == ["2026-11-01", "pull"]
    assert unseen.split()[-2:] == ["no", "pull"]


def test_an_end_of_life_that_has_passed_is_told_and_counted() -> None:
    distros = (
        distro("old", eol=date(2026, 11, 23)),
        distro("last-day", eol=TODAY),
        distro("rolling", libc="musl"),
    )
    _, old, today, rolling, last = shown(distros, 80)
    assert "2026-11-23 ended" in old
    assert "ended" not in today
    assert "apt, musl" in rolling
    assert "no end set" in rolling
    assert last == "3 distros: 0 verified here (✓), 1 past its end of life"


def test_a_long_title_is_cut_and_nothing_else() -> None:
    _, line, _ = shown((distro("one", title=LONGEST),), 100)
    assert "a title that is far" in line
    assert "…" in line
    assert line.split()[-1] == "pull"


def test_without_unicode_the_mark_is_another() -> None:
    _, line, last = shown((distro("one", verified=TODAY),), 80, "ascii")
    assert line.startswith("*  one")
    assert last.endswith("(*)")
