"""Why something fails only there: what separates the machines, the likeliest first."""

from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import failed, make_plan, result

from distromatrix.collect.facts import add_facts
from distromatrix.model import CellResult, Facts, RunResult, Verdict
from distromatrix.reports.files import results_json
from distromatrix.reports.grouping import group_failures
from distromatrix.reports.reasons import in_short, reasons_of
from distromatrix.reports.versions import Version, difference


def deb(**versions: str) -> Facts:
    names = {name.replace("_", "-"): version for name, version in versions.items()}
    commands = {"sh": "/bin/dash", "awk": "/usr/bin/mawk", "ls": "/bin/ls", "sed": "/bin/sed"}
    return Facts(
        arch="x86_64",
        libc="glibc",
        libc_version="2.36",
        manager="dpkg",
        commands=commands,
        packages={"dash": "0.5.12-2", "mawk": "1.3.4-3", "sed": "4.9-1", "coreutils": "9.1-1"}
        | names,
    )


ALPINE = Facts(
    arch="x86_64",
    libc="musl",
    libc_version="1.2.5",
    manager="apk",
    commands=dict.fromkeys(("sh", "awk", "ls", "sed"), "/bin/busybox"),
    packages={"busybox": "1.36.1-r29", "musl": "1.2.5-r0"},
)


def reasons(facts: dict[str, Facts], *results: CellResult) -> list[str]:
    plan = make_plan(*(one.id for one in results))
    (group,) = group_failures(plan, results)
    by_cell = {f"{name}/unit": one for name, one in facts.items()}
    return [one.text for one in reasons_of(group, plan, results, by_cell)]


def with_message(cell: str, message: str) -> CellResult:
    one = failed(cell, "c")
    return replace(one, failing=(replace(one.failing[0], message=message),))


def v(make: str, *versions: str, manager: str = "dpkg") -> list[Version]:
    return [Version(make, version, manager) for version in versions]


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        (v("a", "8.32-4+b1"), v("a", "9.1-1", "9.10-1"), "a 8.32 here, ≥ 9.1 where it passes"),
        (v("a", "1:9.10-1", "9.7-2"), v("a", "9.1-1"), "a ≥ 9.7 here, 9.1 where it passes"),
        (v("a", "1.0-2"), v("a", "1.0-12"), "a 1.0-2 here, ≥ 1.0-12 where it passes"),
        (v("a", "1.0-1"), v("b", "2.0-1"), "a 1.0 here, b 2.0 where it passes"),
        (v("a", "1.0-1"), v("", ""), "a 1.0 here, none where it passes"),
        (v("a", "2-1"), v("a", "1-1", "3-1"), "a 2 here, 1, 3 where it passes"),
        (
            v("a", "1.0~rc1-1"),
            v("a", "0:1.0-3.el9", manager="rpm"),
            "a 1.0~rc1 here, ≥ 1.0 where it passes",
        ),
        (v("a", "1.0-1"), v("a", "1.0-1"), None),
        (v("a", "1.0-1", "2.0-1"), v("a", "2.0-1"), None),
        (v("a", "1.0-1"), v("a", "1.0-1.el9", manager="rpm"), None),
        (v("a", "%%", "\u202e"), v("a", "1.0-1"), "a %%, \u202e here, 1.0 where it passes"),
    ],
)
def test_versions_are_compared_as_upstream_counts_them(
    here: list[Version], there: list[Version], said: str | None
) -> None:
    found = difference(here, there)
    assert (found and found[0]) == said


def test_the_program_that_speaks_comes_first() -> None:
    facts = {
        "debian-11": deb(coreutils="8.32-4+b1", sed="4.7-1", mawk="1.2-1"),
        "debian-12": deb(),
    }
    said = with_message("debian-11/unit", "cksum: invalid option -- 'a'")
    found = reasons(facts, said, result("debian-12/unit"))
    assert found[0] == "coreutils 8.32 here, ≥ 9.1 where it passes"
    assert set(found[1:]) == {
        "awk: mawk 1.2 here, ≥ 1.3.4 where it passes",
        "sed 4.7 here, ≥ 4.9 where it passes",
    }


def test_an_english_word_is_no_program() -> None:
    facts = {"debian-11": deb(sed="4.7-1", mawk="1.2-1"), "debian-12": deb()}
    said = with_message("debian-11/unit", "I sed so, and the date was wrong")
    assert reasons(facts, said, result("debian-12/unit"))[0].startswith("awk: ")


def test_the_make_counts_across_families() -> None:
    facts = {"alpine-3.20": ALPINE, "debian-12": deb()}
    said = with_message("alpine-3.20/unit", "iconv: ASCII//TRANSLIT: Invalid argument")
    found = reasons(facts, said, result("debian-12/unit"))
    assert found[0] == "libc: musl 1.2.5 here, glibc 2.36 where it passes"
    assert "sh: busybox 1.36.1 here, dash 0.5.12 where it passes" in found
    assert not [text for text in found if text.startswith("musl")]  # told with libc


def test_a_package_that_the_output_names_is_told_and_others_are_counted() -> None:
    others = {f"lib{n}": "1.0-1" for n in range(30)}
    facts = {
        "debian-11": deb(python3_pytest="6.0.2-2", **others),
        "debian-12": deb(python3_pytest="7.2.1-2", **dict.fromkeys(others, "2.0-1")),
    }
    said = with_message("debian-11/unit", "python3-pytest is too old")
    found = reasons(facts, said, result("debian-12/unit"))
    assert found == [
        "python3-pytest 6.0.2 here, ≥ 7.2.1 where it passes",
        "and 30 other packages",
    ]


def test_what_was_opened_comes_first_and_is_known_by_what_the_output_is_about() -> None:
    plan = make_plan("debian-11/unit", "debian-12/unit")
    said = with_message("debian-11/unit", "sqlite3.OperationalError: no RETURNING, nor expat")
    results = (said, result("debian-12/unit"))
    new = {"libsqlite3-0": "3.40-1", "libexpat1": "2.5-1", "libzip4": "1.7-1"}
    old = {"libsqlite3-0": "3.34-1", "libexpat1": "2.2-1", "libzip4": "1.5-1"}
    facts = {"debian-11/unit": deb(sed="4.7-1", **old), "debian-12/unit": deb(**new)}
    (group,) = group_failures(plan, results)
    plain = [one.about for one in reasons_of(group, plan, results, facts)]
    assert plain == ["sed", ""]
    opened = ("libsqlite3-0", "libzip4", "cat")
    found = reasons_of(group, plan, results, facts, opened)
    assert [(one.about, one.evidence) for one in found] == [
        ("libsqlite3-0", ("output", "opened")),
        ("libzip4", ("opened",)),
        ("sed", ()),
        ("", ()),
    ]
    assert found[-1].text == "and 1 other package"  # nobody opened libexpat1


def test_where_this_case_passed_counts_though_another_failed() -> None:
    facts = {"debian-11": deb(coreutils="8.32-1"), "debian-12": deb()}
    plan = make_plan("debian-11/unit", "debian-12/unit")
    results = (failed("debian-11/unit", "a"), failed("debian-12/unit", "b"))
    by_cell = {f"{name}/unit": one for name, one in facts.items()}
    texts = [reasons_of(group, plan, results, by_cell) for group in group_failures(plan, results)]
    assert [one[0].text for one in texts] == [
        "coreutils 8.32 here, ≥ 9.1 where it passes",
        "coreutils 9.1 here, 8.32 where it passes",
    ]


def test_nothing_is_said_where_nothing_is_known_or_passes() -> None:
    known = {"debian-11": deb(coreutils="8.32-1"), "debian-12": deb()}
    broken = result("debian-12/unit", Verdict.ERROR)
    assert reasons(known, failed("debian-11/unit", "c"), broken) == []
    assert reasons({}, failed("debian-11/unit", "c"), result("debian-12/unit")) == []
    absent = known | {"debian-11": Facts(absent="no sh")}
    assert reasons(absent, failed("debian-11/unit", "c"), result("debian-12/unit")) == []


def test_fifty_thousand_packages_are_compared() -> None:
    old = {f"p{n}": f"{n}.0-1" for n in range(50_000)}
    new = {name: f"9{version}" for name, version in old.items()}
    facts = {"debian-11": deb(**old), "debian-12": deb(**new)}
    found = reasons(facts, failed("debian-11/unit", "c"), result("debian-12/unit"))
    assert found[-1].startswith("and ") and len(found) <= 41


def test_three_lines_and_how_many_more() -> None:
    facts = {"alpine-3.20": ALPINE, "debian-12": deb()}
    plan = make_plan("alpine-3.20/unit", "debian-12/unit")
    results = (failed("alpine-3.20/unit", "c"), result("debian-12/unit"))
    (group,) = group_failures(plan, results)
    found = reasons_of(group, plan, results, {f"{k}/unit": one for k, one in facts.items()})
    lines = in_short(found)
    assert len(lines) == 3 and lines[-1].endswith(f"; and {len(found) - 3} more")
    assert in_short(()) == ()


def test_results_json_tells_them(tmp_path: Path) -> None:
    add_facts(tmp_path, {"debian-11/unit": deb(coreutils="8.32-1"), "debian-12/unit": deb()})
    plan = make_plan("debian-11/unit", "debian-12/unit")
    cells = (failed("debian-11/unit", "c"), result("debian-12/unit"))
    outcome = RunResult(run="r", folder=tmp_path, verdict=Verdict.FAILED, exit_code=1, cells=cells)
    said = results_json(plan, outcome)
    assert said["cells"][0]["facts"] == "facts/debian-11.json"
    (group,) = said["groups"]
    assert group["differs"] == ["coreutils 8.32 here, ≥ 9.1 where it passes"]
    assert (group["cells"], group["cases"]) == (["debian-11/unit"], ["c"])
