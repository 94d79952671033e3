"""How cells install packages that the product has built."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from distromatrix.errors import InputError
from distromatrix.model import (
    Distro,
    HostFacts,
    Matrix,
    Plan,
    Product,
    Pull,
    Rule,
    Selection,
    Suite,
)
from distromatrix.plan.make import make_plan

FACTS = HostFacts(arch="x86_64", cpus=2, memory=1 << 33, today=date(2026, 11, 23))
FILES = ("./dist/*.deb", "git", "./dist/*.rpm")


def distro(name: str, manager: Any) -> Distro:
    return Distro(
        name=name,
        title=name,
        family="other",
        package_manager=manager,
        libc="glibc",
        image=(Pull(ref=f"registry.invalid/{name}"),),
    )


def planned(*distros: Distro, rules: tuple[Rule, ...] = (), **suite: Any) -> Plan:
    suites = (Suite(**{"name": "unit", "run": "true", "packages": FILES, **suite}),)
    here = Path("/nowhere")
    product = Product(path=here)
    matrix = Matrix(
        file=here, root=here, product=product, distros=distros, suites=suites, rules=rules
    )
    return make_plan(matrix, FACTS, Selection())


DEBIAN, FEDORA, ALPINE = distro("d", "apt"), distro("f", "dnf"), distro("a", "apk")


def test_each_distro_takes_its_own_and_the_product_has_them_all() -> None:
    plan = planned(DEBIAN, FEDORA, setup="theirs", rules=(Rule(setup="first"),))
    debian, fedora = plan.cells
    assert (debian.built, fedora.built) == (("dist/*.deb",), ("dist/*.rpm",))
    assert (debian.packages, fedora.packages) == (("git",), ("git",))
    assert plan.product.built == ("dist/*.deb", "dist/*.rpm")
    first, installs, theirs = debian.setup
    assert (first, theirs) == ("first", "theirs")
    assert "set -- ./dist/*.deb\n" in installs
    assert ".rpm" not in installs
    assert debian.removal == ""


def test_nothing_is_installed_where_no_file_is_named() -> None:
    plan = planned(DEBIAN, packages=("git",))
    assert plan.cells[0].setup == ()
    assert plan.product.built == ()


def test_an_upgrade_begins_with_the_distributions_own_and_a_removal_follows_the_run() -> None:
    (cell,) = planned(DEBIAN, upgrade=True, remove=True).cells
    (script,) = cell.setup
    assert script.count(" install ") == 2
    assert " purge " in cell.removal


def test_without_a_network_no_lists_are_fetched() -> None:
    (cell,) = planned(DEBIAN, network=False).cells
    assert " update" not in cell.setup[0]


@pytest.mark.parametrize(
    ("made", "suite", "told"),
    [
        (ALPINE, {}, "a/unit: none of ./dist/*.deb, ./dist/*.rpm is for apk: leave a out"),
        (distro("x", "none"), {}, "x/unit: none of .* is for none"),
        (DEBIAN, {"user": "joe"}, "d/unit: package files are installed by root"),
        (DEBIAN, {"packages": (), "upgrade": True}, "d/unit: `upgrade: true` is about package"),
        (DEBIAN, {"packages": (), "remove": True}, "d/unit: `remove: true` is about package files"),
    ],
)
def test_what_cannot_be_is_told_before_anything_starts(
    made: Distro, suite: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told.replace("*", r"\*").replace(r".\*", ".*")):
        planned(made, **suite)


def test_a_cell_that_is_skipped_asks_for_nothing() -> None:
    plan = planned(ALPINE, DEBIAN, rules=(Rule(distro="a", skip="no package for it"),))
    assert [cell.built for cell in plan.cells] == [(), ("dist/*.deb",)]
