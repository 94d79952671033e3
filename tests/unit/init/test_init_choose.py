"""Which distros `init` proposes of the catalogue, by what is in reach."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from loading import TODAY

from distromatrix.init import look
from distromatrix.init.choose import candidates, few, living, proposed, suggested, wide
from distromatrix.load import load_distros

CATALOGUE = load_distros(None)
SUPPORTED = living(CATALOGUE, TODAY)
USUAL = candidates(SUPPORTED)
NAMES = [d.name for d in USUAL]


def away_but(*there: str) -> dict[str, str]:
    return {name: "docker.io: off" for name in NAMES if name not in there}


def test_of_each_family_it_is_the_newest_stable_release() -> None:
    found = proposed(USUAL, {})
    assert found.names == (
        *("debian-13", "ubuntu-26.04", "fedora-45", "almalinux-10", "opensuse-leap-16.1"),
        *("alpine-3.24", "archlinux"),
    )
    assert (found.why, found.away) == ("the newest release of each family", {})


def test_what_is_out_of_reach_gives_way_to_what_is_not() -> None:
    away = dict.fromkeys(("fedora-45", "almalinux-8", "almalinux-9", "almalinux-10"), "x: off")
    found = proposed(USUAL, away)
    assert {"fedora-44", "rocky-10"} < set(found.names)
    assert len(found.names) == 7
    assert found.why == "the newest release of each family"


def test_a_family_out_of_reach_is_left_out_and_it_is_said_why() -> None:
    away = {name: "x: off" for name in NAMES if name.startswith(("fedora", "opensuse"))}
    found = proposed(USUAL, away | {"debian-13": "y: off"})
    assert found.names[0] == "debian-12"
    assert len(found.names) == 5
    assert found.why == "the newest release of each family in reach here (x: off)"


def test_where_one_family_is_in_reach_it_is_two_of_it() -> None:
    found = proposed(USUAL, away_but("debian-12", "debian-13"))
    assert found.names == ("debian-12", "debian-13")
    assert found.why == "what is in reach here (docker.io: off)"
    assert proposed(USUAL, away_but("alpine-3.23")).names == ("alpine-3.23",)


def test_where_nothing_is_in_reach_the_catalogue_says_and_so_does_init() -> None:
    found = proposed(USUAL, away_but())
    assert found.names == ("debian-12", "debian-13")
    assert found.why == "no image is in reach here now (docker.io: off)"


def test_few_are_two_of_one_distribution_if_that_can_be() -> None:
    assert few(USUAL, {}).names == ("debian-12", "debian-13")
    assert few(USUAL, away_but("debian-13", "alpine-3.23", "alpine-3.24")).names == (
        *("alpine-3.23", "alpine-3.24"),
    )
    assert few(USUAL, away_but("debian-13", "archlinux")).names == ("archlinux", "debian-13")


def test_wide_is_all_that_is_supported_on_the_day() -> None:
    away = away_but("debian-13")
    found = wide(SUPPORTED, away)
    assert set(found.names) == {d.name for d in CATALOGUE if not d.eol or d.eol >= TODAY}
    assert {"archlinux", "debian-sid", "rocky-8"} < set(found.names)
    assert "alpine-3.20" not in found.names
    assert found.away == away


def test_the_last_day_of_support_counts() -> None:
    (one,) = (d for d in CATALOGUE if d.name == "debian-12")
    assert one.eol is not None
    assert living([one], one.eol) == (one,)
    assert living([one], one.eol + timedelta(days=1)) == ()


def test_an_ubuntu_between_long_term_releases_is_not_proposed() -> None:
    (base,) = (d for d in CATALOGUE if d.name == "ubuntu-26.04")
    others = [replace(base, name=name) for name in ("ubuntu-26.10", "ubuntu-27.04", "debian-13-x")]
    assert candidates([base, *others]) == (base,)


def test_no_family_of_the_catalogue_dies_unseen() -> None:
    """What is proposed on a day two years on is less, and nothing breaks."""
    later = candidates(living(CATALOGUE, date(2029, 1, 1)))
    assert proposed(later, {}).names[0] == "debian-13"


def test_suggested_are_living_releases_of_other_distributions_the_newest_of_each() -> None:
    names = suggested(("debian-12", "debian-13"), SUPPORTED)
    assert not [n for n in names if n.startswith("debian")]
    assert "ubuntu-26.04" in names
    assert "ubuntu-24.04" not in names
    assert "alpine-3.20" not in names


def test_no_name_is_cut_in_two_in_a_comment(tmp_path: Path) -> None:
    names = [f"opensuse-leap-{number}.{number % 7}" for number in range(40)]
    text = look(tmp_path).text(("debian-12",), names)
    assert [name for name in names if name not in text] == []
