"""What failed is grouped by where it failed."""

from dataclasses import replace

import pytest
from report_samples import FACTS, failed, make_plan, result

from distromatrix.model import CellResult, Phase, Verdict
from distromatrix.reports.grouping import Failure, Group, Wording, group_failures


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
    known = tuple(replace(c, status="xfailed") for c in failed("x", "c").failing)
    expected = result("alpine-3.20/unit", Verdict.XFAILED, xfailed=known)
    assert labels(failed("debian-11/unit", "c"), expected) == ["fails everywhere (2 of 2)"]
    assert labels(result("debian-11/unit"), expected) == []


def only_failure(*results: CellResult) -> tuple[Group, Failure]:
    (group,) = group_failures(make_plan(*(r.id for r in results)), results)
    (failure,) = group.failures
    return group, failure


def test_a_cell_that_ends_in_another_way_fails_otherwise() -> None:
    results = (
        failed("debian-11/unit", reason="exit status 2", statuses=(2,)),
        failed("debian-12/unit", reason="timed out after 5 s", failed_by=("timeout",)),
        failed("rocky-9/unit", reason="exit status 139 (SIGSEGV)", statuses=(139,)),
        failed("fedora-41/unit", reason="setup: exit status 2", phase=Phase.SETUP),
        failed("void-musl/unit", reason="exit status 127", statuses=(127,)),
        result("alpine-3.20/unit"),
    )
    groups = group_failures(make_plan(*(r.id for r in results)), results)
    assert {g.label.partition(" (")[0]: g.failures[0].wordings[0].text for g in groups} == {
        "fails only on debian-11": "exit status 2",
        "fails only on debian-12": "timed out after 5 s",
        "fails only on rocky-9": "exit status 139 (SIGSEGV)",
        "fails only on fedora-41": "setup: exit status 2",
        "fails only on void-musl": "exit status 127",
    }


def test_one_failure_in_two_wordings_is_one() -> None:
    group, failure = only_failure(
        failed("debian-11/unit", reason="exit status 2", statuses=(2,)),
        failed("rocky-9/unit", reason="exit status 1", statuses=(1,)),
        failed("alpine-3.20/unit", reason="exit status 1", statuses=(1,)),
    )
    assert group.label == "fails everywhere (3 of 3)"
    assert failure.wordings == (
        Wording(text="exit status 1", cells=("rocky-9/unit", "alpine-3.20/unit")),
        Wording(text="exit status 2", cells=("debian-11/unit",)),
    )


def test_what_hung_and_for_how_long_makes_no_other_failure() -> None:
    _, failure = only_failure(
        failed("debian-11/unit", reason="timed out after 2 s, running: sleep 71 (for 00:02)"),
        failed("debian-12/unit", reason="timed out after 2 s, running: sleep 71 (for 00:01)"),
        failed("alpine-3.20/unit", reason="timed out after 2 s, running: sleep 72 (for 00:02)"),
    )
    assert [w.cells for w in failure.wordings] == [
        ("debian-11/unit", "debian-12/unit"),
        ("alpine-3.20/unit",),
    ]


def test_an_expected_failure_is_the_same_failure() -> None:
    group, _ = only_failure(
        failed("debian-11/unit", reason="exit status 2"),
        result("debian-12/unit", Verdict.XFAILED, phase=Phase.RUN, reason="old (exit status 1)"),
    )
    assert group.label == "fails everywhere (2 of 2)"


def test_a_cases_messages_differ_and_it_is_one_failure() -> None:
    one = failed("debian-11/unit", "c")
    other = replace(one.failing[0], message="another <Thing at 0x7f0012345678>")
    third = replace(one.failing[0], message="another <Thing at 0x7f0087654321>")
    _, failure = only_failure(
        one,
        replace(one, id="debian-12/unit", failing=(other,)),
        replace(one, id="rocky-9/unit", failing=(third,)),
    )
    assert failure.case == other
    assert [(w.text, w.cells) for w in failure.wordings] == [
        (other.message, ("debian-12/unit", "rocky-9/unit")),
        ("why c", ("debian-11/unit",)),
    ]


def test_failures_with_one_footprint_are_told_suite_by_suite() -> None:
    results = (
        failed("debian-11/unit", "a", "b"),
        failed("debian-11/lint"),
        result("debian-12/unit"),
        result("debian-12/lint"),
    )
    (group,) = group_failures(make_plan(*(r.id for r in results)), results)
    assert [([f.column for f in those], cells) for those, cells in group.by_column] == [
        (["unit", "unit"], ("debian-11/unit",)),
        (["lint"], ("debian-11/lint",)),
    ]


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
