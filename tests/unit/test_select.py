"""Selectors over cell ids."""

import pytest

from distromatrix.errors import NothingSelectedError
from distromatrix.model import Selection
from distromatrix.select import Selector, select

IDS = ("debian-11/unit", "debian-12/unit/a", "debian-12/unit/b", "debian-12/docs", "alpine/unit")


def chosen(*selectors: str, exclude: tuple[str, ...] = ()) -> list[str]:
    left_out = select(IDS, Selection(selectors=selectors, exclude=exclude))
    return [cell_id for cell_id in IDS if cell_id not in left_out]


@pytest.mark.parametrize(
    ("selector", "cell_id", "matches"),
    [
        ("debian-*/unit", "debian-12/unit", True),
        ("debian-12", "debian-12/unit/a", True),
        ("debian-12/", "debian-12/unit", True),
        ("debian-12/unit", "debian-12/unit/a", True),
        ("debian-12/unit/a", "debian-12/unit", False),
        ("debian-1", "debian-12/unit", False),
        ("*", "debian-12/unit", True),
        ("*unit", "debian-12/unit", False),
        ("*/un[ij]t", "debian-12/unit", True),
        ("debian-?2", "debian-12/unit", True),
        ("DEBIAN-12", "debian-12/unit", False),
        ("debian.12", "debian-12/unit", False),
        ("", "debian-12/unit", False),
        ("*/*/*/*", "debian-12/unit/a", False),
    ],
)
def test_a_selector_is_a_glob_per_segment(selector: str, cell_id: str, matches: bool) -> None:
    assert Selector(selector).matches(cell_id) is matches


def test_no_selector_is_everything() -> None:
    assert chosen() == list(IDS)


def test_several_are_a_union() -> None:
    assert chosen("alpine", "*/docs") == ["debian-12/docs", "alpine/unit"]


def test_exclude_takes_away_from_what_is_selected() -> None:
    assert chosen("debian-12", exclude=("*/unit/b",)) == ["debian-12/unit/a", "debian-12/docs"]


def test_reasons_name_the_selectors() -> None:
    left_out = select(IDS, Selection(selectors=("debian-12", "alpine"), exclude=("*/docs",)))
    assert left_out == {
        "debian-11/unit": "not selected by debian-12 alpine",
        "debian-12/docs": "excluded by */docs",
    }


def test_each_selector_that_matches_nothing_is_told_with_near_ids() -> None:
    with pytest.raises(NothingSelectedError) as caught:
        chosen("debian-12", "debain-12/docs", "zzz", exclude=("alpin",))
    first, second, third = str(caught.value).splitlines()
    assert first.startswith("no cell matches debain-12/docs (did you mean debian-12/docs")
    assert second == "no cell matches zzz (`distromatrix plan` lists all)"
    assert third == "no cell matches alpin (did you mean alpine?)"
    assert caught.value.exit_code == 3


def test_nothing_left_after_exclude_is_an_error() -> None:
    with pytest.raises(NothingSelectedError, match="also excluded"):
        chosen("debian-12", exclude=("debian-*",))


def test_a_selector_with_control_characters_is_shown_and_not_obeyed() -> None:
    with pytest.raises(NothingSelectedError) as caught:
        chosen("\x1b[31m")
    assert "\x1b" not in str(caught.value)


def test_an_empty_selector_is_told_as_such() -> None:
    with pytest.raises(NothingSelectedError, match="no cell matches ''"):
        chosen("")
