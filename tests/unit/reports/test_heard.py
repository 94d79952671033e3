"""What a failure speaks of: packages that are renamed from release to release, what the suite
names itself, and where it stopped."""

from dataclasses import replace

import pytest
from report_samples import failed, make_plan, result

from distromatrix.model import CellResult, Facts, Phase
from distromatrix.reports.grouping import group_failures
from distromatrix.reports.heard import stem
from distromatrix.reports.reasons import reasons_of
from distromatrix.reports.versions import Version


def deb(sources: dict[str, str], **versions: str) -> Facts:
    names = {name.replace("_", "-"): version for name, version in versions.items()}
    return Facts(manager="dpkg", packages=names, sources=sources)


def texts(
    old: Facts, new: Facts, *results: CellResult, packages: tuple[str, ...] = ()
) -> list[str]:
    """The reasons for the failure of the first result; debian-11 is `old`, debian-12 `new`."""
    plan = make_plan(*(one.id for one in results))
    distros = [replace(d, packages={"compiler": ("gcc-x", "aa-dev")}) for d in plan.distros]
    cells = [replace(cell, packages=packages) for cell in plan.cells]
    plan = replace(plan, cells=tuple(cells), distros=tuple(distros))
    facts = {"debian-11/unit": old, "debian-12/unit": new}
    (group,) = (one for one in group_failures(plan, results) if results[0].id in one.cells)
    return [one.text for one in reasons_of(group, plan, results, facts)]


FAILED = (failed("debian-12/unit", "c"), result("debian-11/unit"))


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("libmagic1t64", "libmagic"),
        ("libmagic1", "libmagic"),
        ("libxml2-16", "libxml"),
        ("libxml2-dev", "libxml"),
        ("libssl1.1", "libssl"),
        ("openssl-libs", "openssl"),
        ("python3-pytest", "pytest"),
        ("py3-pytest", "pytest"),
        ("zlib1g-dev", "zlib"),
        ("pytest", "pytest"),
        ("x2", ""),
    ],
)
def test_what_a_package_is_about(name: str, about: str) -> None:
    assert stem(name) == about


def test_a_package_that_is_called_otherwise_now_is_compared() -> None:
    old = deb({"libmagic1": "file", "libmagic-mgc": "file"}, libmagic1="1:5.44-3")
    new = deb({"libmagic1t64": "file"}, libmagic1t64="1:5.46-5")
    said = texts(old, new, *FAILED, packages=("libmagic1",))
    assert said == ["file (libmagic1) 5.46 here, 5.44 where it passes"]


def test_what_is_built_of_the_same_is_one() -> None:
    sources = {"libxml2-dev": "libxml2", "libxml2-utils": "libxml2"}
    old = deb(sources, libxml2_dev="2.9-1", libxml2_utils="2.9-1", libxml2="2.9-1")
    new = deb(sources, libxml2_dev="2.15-1", libxml2_utils="2.15-1", libxml2="2.15-1")
    said = texts(old, new, *FAILED, packages=("libxml2-dev",))
    assert said == ["libxml2 2.15 here, 2.9 where it passes"]


def test_a_part_of_a_program_of_the_table_is_told_with_it() -> None:
    old = deb({"libssl-dev": "openssl"}, libssl_dev="1.1-1", openssl="1.1-1", aa_dev="1-1")
    new = deb({"libssl-dev": "openssl"}, libssl_dev="3.0-1", openssl="3.0-1", aa_dev="2-1")
    said = texts(old, new, *FAILED, packages=("aa-dev", "libssl-dev"))
    assert said == [
        "openssl 3.0 here, 1.1 where it passes",
        "aa-dev 2 here, 1 where it passes",
    ]


def test_what_the_suite_names_itself_comes_before_what_any_suite_asks_for() -> None:
    old = deb({}, gcc_x="1-1", aa_dev="1-1", zlib="1-1", unnamed="1-1")
    new = deb({}, gcc_x="2-1", aa_dev="2-1", zlib="2-1", unnamed="2-1")
    said = texts(old, new, *FAILED, packages=("gcc-x", "aa-dev", "zlib"))
    assert said[0] == "zlib 2 here, 1 where it passes"
    assert set(said[1:3]) == {"aa-dev 2 here, 1 where it passes", "gcc-x 2 here, 1 where it passes"}
    assert said[3] == "and 1 other package"


def test_what_several_name_is_likelier() -> None:
    old = deb({}, python3_aaa="1-1", python3_zzz="1-1")
    new = deb({}, python3_aaa="2-1", python3_zzz="2-1")
    loud = replace(FAILED[0], tail=("plugin zzz: nothing of the kind",))
    said = texts(old, new, loud, FAILED[1], packages=("python3-aaa", "python3-zzz"))
    assert [one.split()[0] for one in said] == ["python3-zzz", "python3-aaa"]


def test_what_only_the_distribution_changed_comes_last() -> None:
    old = deb({}, libaa="1.0-1", libzz="1.0-1")
    new = deb({}, libaa="1.0-2", libzz="1.1-1")
    said = texts(old, new, *FAILED, packages=("libaa", "libzz"))
    assert [one.split()[0] for one in said] == ["libzz", "libaa"]


def test_what_came_farther_has_passed_where_another_stopped() -> None:
    old, new = deb({}, zlib="1-1"), deb({}, zlib="2-1")
    stopped = failed("debian-12/unit", phase=Phase.SETUP)
    farther = failed("debian-11/unit", phase=Phase.RUN)
    assert texts(old, new, stopped, farther, packages=("zlib",)) == [
        "zlib 2 here, 1 where it passes"
    ]
    assert texts(old, new, farther, stopped, packages=("zlib",)) == []


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("2.12.7+dfsg+really2.9.14-2.1", "2.9.14"),
        ("1:1.3.dfsg+really1.3.2-3", "1.3.2"),
        ("2.0207+dfsg+really+2.0134-1", "2.0134"),
        ("1.2.11.dfsg-2", "1.2.11"),
    ],
)
def test_what_a_version_really_is(version: str, upstream: str) -> None:
    assert Version("a", version, "dpkg").upstream == upstream
