"""Which repositories a distro's cells have."""

from __future__ import annotations

from typing import Any

import pytest

from distromatrix.errors import InputError
from distromatrix.model import Distro, Pull, Repository
from distromatrix.plan.repositories import repositories_of

OWN = Repository(url="https://mirror.example", key="a key")
EPEL = Repository(packages=("epel-release",))


def distro(manager: Any = "dnf", **known: Repository) -> Distro:
    return Distro(
        name="one-9",
        title="One 9",
        family="other",
        package_manager=manager,
        libc="glibc",
        image=(Pull(ref="registry.invalid/one:9"),),
        extra_repositories=known,
    )


def test_names_mean_what_the_distro_says_and_nothing_where_it_says_nothing() -> None:
    wanted = (OWN, "backports", "epel", "epel", OWN)
    assert repositories_of(wanted, distro(epel=EPEL)) == (EPEL, OWN)
    assert repositories_of(("epel",), distro("pacman")) == ()


@pytest.mark.parametrize("manager", ["pacman", "xbps", "none"])
def test_a_manager_that_takes_none_is_told_before_anything_starts(manager: str) -> None:
    with pytest.raises(
        InputError, match=f"one-9: the repository https://mirror.example .*{manager}"
    ):
        repositories_of((OWN,), distro(manager))


def test_apk_takes_only_signed_ones() -> None:
    unsigned = Repository(url="https://mirror.example")
    assert repositories_of((unsigned,), distro("apt")) == (unsigned,)
    with pytest.raises(InputError, match="is not signed"):
        repositories_of((unsigned,), distro("apk"))
