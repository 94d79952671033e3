"""Selectors over cell ids, tags and sets."""

import pytest

from distromatrix.errors import InputError, NothingSelectedError
from distromatrix.model import CellSet, Selection
from distromatrix.plan.select import Selector, select
from distromatrix.wording import near_names

IDS = ("debian-11/unit", "debian-12/unit/a", "debian-12/unit/b", "debian-12/docs", "alpine/unit")
TAGS = {
    "debian-11/unit": ("quick",),
    "debian-12/unit": ("quick", "nightly"),
    "debian-12/fuzz": ("nightly", "slow"),
    "alpine/unit": (),
}


def chosen(*selectors: str, exclude: tuple[str, ...] = ()) -> list[str]:
    left_out = select(dict.fromkeys(IDS, ()), Selection(selectors=selectors, exclude=exclude))
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
    selection = Selection(selectors=("debian-12", "alpine"), exclude=("*/docs",))
    left_out = select(dict.fromkeys(IDS, ()), selection)
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


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("docs", "did you mean '*/docs'?"),
        ("unit/a", "did you mean '*/unit/a'?"),
        ("do[cx]s", "did you mean '*/do[cx]s'?"),
        ("dosc", "did you mean '*/docs'?"),
        ("zzz/zzz", "`distromatrix plan` lists all"),
        ("/", "`distromatrix plan` lists all"),
    ],
)
def test_a_suite_without_a_distro_is_told_how_it_is_selected(text: str, hint: str) -> None:
    with pytest.raises(NothingSelectedError) as caught:
        chosen(text)
    assert str(caught.value) == f"no cell matches {text} ({hint})"


RELEASES = ("alpine-3.9", "alpine-3.24", "alpine-edge", "debian-13", "debian-sid", "rocky-9")


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("alpine", "alpine-3.24"),
        ("alpin", "alpine-3.24"),
        ("debian", "debian-13"),
        ("rocky", "rocky-10"),
        ("alpine-edg", "alpine-edge"),
        ("rocky-99", "rocky-9"),
    ],
)
def test_of_near_names_the_newest_release_comes_before_what_has_no_number(
    word: str, first: str
) -> None:
    assert near_names(word, (*RELEASES, "rocky-10"), 3)[0] == first


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


def tagged(*tags: str, sets: tuple[str, ...] = (), selectors: tuple[str, ...] = ()) -> list[str]:
    known = (
        CellSet(name="pr", tags=("quick",), distros=("debian-*",)),
        CellSet(name="calm", tags=("!slow",)),
        CellSet(name="musl", distros=("alpine",)),
    )
    left_out = select(TAGS, Selection(selectors=selectors, tags=tags, sets=sets), known)
    return [cell_id for cell_id in TAGS if cell_id not in left_out]


@pytest.mark.parametrize(
    ("tags", "chosen"),
    [
        (("quick",), ["debian-11/unit", "debian-12/unit"]),
        (("quick", "nightly"), ["debian-11/unit", "debian-12/unit", "debian-12/fuzz"]),
        (("!slow",), ["debian-11/unit", "debian-12/unit", "alpine/unit"]),
        (("!slow", "!quick"), ["alpine/unit"]),
        (("nightly", "!slow"), ["debian-12/unit"]),
        (("!slow", "nightly"), ["debian-12/unit"]),
    ],
)
def test_several_tags_are_a_union_and_those_with_a_mark_take_away(
    tags: tuple[str, ...], chosen: list[str]
) -> None:
    assert tagged(*tags) == chosen


def test_a_set_is_its_tags_on_its_distros_and_several_are_a_union() -> None:
    assert tagged(sets=("pr",)) == ["debian-11/unit", "debian-12/unit"]
    assert tagged(sets=("calm",)) == ["debian-11/unit", "debian-12/unit", "alpine/unit"]
    assert tagged(sets=("musl", "pr")) == ["debian-11/unit", "debian-12/unit", "alpine/unit"]


def test_of_selectors_tags_and_sets_all_must_choose_a_cell() -> None:
    assert tagged("nightly", sets=("pr",)) == ["debian-12/unit"]
    assert tagged("quick", selectors=("debian-11", "alpine")) == ["debian-11/unit"]


def test_what_tags_and_sets_leave_out_says_so() -> None:
    assert select(TAGS, Selection(tags=("quick", "!slow")))["alpine/unit"] == (
        "not selected by --tag quick !slow"
    )
    sets = (CellSet(name="pr", tags=("quick",)),)
    assert select(TAGS, Selection(sets=("pr",)), sets)["alpine/unit"] == "not in the set pr"


def test_each_tag_that_no_cell_has_is_told_with_near_names() -> None:
    with pytest.raises(NothingSelectedError) as caught:
        tagged("nightyl", "quick", "!zzz")
    assert str(caught.value).splitlines() == [
        "no cell has the tag nightyl (did you mean nightly?)",
        "no cell has the tag zzz (there is quick, nightly, slow)",
    ]
    with pytest.raises(NothingSelectedError, match=r"the tag x \(no cell has any\)"):
        select({"a/b": ()}, Selection(tags=("x",)))


def test_a_choice_that_leaves_nothing_names_all_that_it_is_made_of() -> None:
    with pytest.raises(NothingSelectedError) as caught:
        tagged("slow", sets=("pr",), selectors=("debian-12",))
    assert str(caught.value) == (
        "nothing selected: no cell is all of debian-12 --tag slow --set pr"
    )


def test_a_set_that_the_matrix_has_not_is_wrong_input_and_told_with_near_names() -> None:
    with pytest.raises(InputError) as caught:
        tagged(sets=("pr", "clam", "\x1b[31m"))
    first, second = str(caught.value).splitlines()
    assert first == "no set clam (did you mean calm?)"
    assert second == r"no set \x1b[31m (there is pr, calm, musl)"
    with pytest.raises(InputError, match="the matrix names none"):
        select(TAGS, Selection(sets=("pr",)))
