"""What failed is grouped by where it failed."""

import pytest
from report_samples import FACTS, failed, make_plan, result

from distromatrix.model import CellResult, Verdict
from distromatrix.reports.grouping import group_failures


def labels(*results: CellResult) -> list[str]:
    plan = make_plan(*(r.id for r in results))
    return [group.label for group in group_failures(plan, results)]


def where(*names: str, ran: tuple[str, ...] = tuple(FACTS)) -> str:
    """The label when one case fails just on `names`."""
    (label,) = labels(
        *(failed(f"{d}/unit", "c") if d in names else result(f"{d}/unit") for d in ran)
    )
    return label


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (tuple(FACTS), "fails everywhere (6 of 6)"),
        (("void-musl", "alpine-3.20"), "fails only on musl (void-musl, alpine-3.20)"),
        (
            ("debian-11", "debian-12", "rocky-9", "fedora-41"),
            "fails only on glibc (debian-11, debian-12, rocky-9, fedora-41)",
        ),
        (("debian-11", "debian-12"), "fails only on debian family (debian-11, debian-12)"),
        (("alpine-3.20",), "fails only on alpine-3.20"),
        (("debian-11",), "fails only on debian-11"),
        (("debian-11", "rocky-9"), "fails on debian-11, rocky-9 (2 of 6)"),
        (tuple(FACTS)[1:], "fails everywhere but on debian-11 (5 of 6)"),
    ],
)
def test_a_case_is_said_to_fail_where_it_fails(names: tuple[str, ...], label: str) -> None:
    assert where(*names) == label


def test_the_only_musl_distro_stands_for_musl() -> None:
    ran = ("debian-11", "debian-12", "alpine-3.20")
    assert where("alpine-3.20", ran=ran) == "fails only on alpine-3.20 (musl)"


def test_one_that_ran_alone_is_not_everywhere() -> None:
    assert where("debian-11", ran=("debian-11",)) == "fails on debian-11, the only one that ran it"


def test_errors_and_skipped_cells_tell_nothing_of_the_product() -> None:
    assert labels(
        failed("debian-11/unit", "c"),
        failed("debian-12/unit", "c"),
        result("rocky-9/unit", Verdict.ERROR),
        result("alpine-3.20/unit", Verdict.SKIPPED),
    ) == ["fails everywhere (2 of 2)"]


def test_expected_failures_count_for_where_but_are_not_listed_alone() -> None:
    expected = result("alpine-3.20/unit", Verdict.XFAILED, failing=failed("x", "c").failing)
    assert labels(failed("debian-11/unit", "c"), expected) == ["fails everywhere (2 of 2)"]
    assert labels(result("debian-11/unit"), expected) == []


def test_cells_without_cases_are_grouped_by_what_is_said_of_them() -> None:
    results = (
        failed("debian-11/unit", reason="exit status 2"),
        failed("debian-12/unit", reason="timed out after 5 s"),
        result("alpine-3.20/unit"),
    )
    groups = group_failures(make_plan(*(r.id for r in results)), results)
    assert {g.label: g.failures[0].reason for g in groups} == {
        "fails only on debian-11": "exit status 2",
        "fails only on debian-12": "timed out after 5 s",
    }


def test_suites_and_variants_are_compared_each_for_itself() -> None:
    results = (
        failed("debian-11/unit/py311", "c"),
        failed("debian-12/unit/py311", "c"),
        result("debian-11/unit/py312"),
        result("debian-12/unit/py312"),
    )
    (group,) = group_failures(make_plan(*(r.id for r in results)), results)
    assert group.label == "fails everywhere (2 of 2)"
    assert group.failures[0].column == "unit/py311"
    assert group.cells == ("debian-11/unit/py311", "debian-12/unit/py311")


def test_the_most_telling_comes_first() -> None:
    ran = ("debian-11", "debian-12", "fedora-41", "alpine-3.20")
    extra = {
        "debian-11": ("family", "one", "mix"),
        "debian-12": ("family",),
        "fedora-41": ("mix",),
        "alpine-3.20": ("libc",),
    }
    assert [
        label.partition(" (")[0]
        for label in labels(*(failed(f"{d}/unit", "all", *extra[d]) for d in ran))
    ] == [
        "fails everywhere",
        "fails only on alpine-3.20",
        "fails only on debian family",
        "fails only on debian-11",
        "fails on debian-11, fedora-41",
    ]
