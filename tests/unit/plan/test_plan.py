"""From a matrix to cells: what multiplies, what a rule changes, which engine and why."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from loading import debian

from distromatrix.errors import InputError, NothingSelectedError
from distromatrix.model import (
    Archive,
    Bootstrap,
    Cell,
    Distro,
    Expectation,
    Guest,
    HostFacts,
    Matrix,
    Need,
    Plan,
    Prepare,
    Product,
    Pull,
    Rule,
    Selection,
    Suite,
    Variant,
    Verdict,
)
from distromatrix.plan.file import plan_to_json, read_plan, store_plan
from distromatrix.plan.make import make_plan

FACTS = HostFacts(arch="x86_64", cpus=2, memory=1 << 33, today=date(2026, 11, 23))


def distro(name: str, **more: Any) -> Distro:
    return debian(name, Pull(ref=f"example.org/{name}:1"), **more)


def matrix(**more: Any) -> Matrix:
    given: dict[str, Any] = {
        "file": Path("/p/matrix/default.yaml"),
        "root": Path("/p"),
        "product": Product(path=Path("/p")),
        "distros": (distro("debian-11"), distro("debian-12"), distro("alpine-3.20")),
        "suites": (Suite(name="unit", run="true"), Suite(name="docs", run="true")),
    }
    return Matrix(**(given | more))


def planned(selection: Selection | None = None, **more: Any) -> Plan:
    return make_plan(matrix(**more), FACTS, selection or Selection())


def cells(**more: Any) -> dict[str, Cell]:
    return {cell.id: cell for cell in planned(**more).cells}


def test_distros_multiply_suites_in_the_order_they_are_written() -> None:
    assert list(cells()) == [
        "debian-11/unit",
        "debian-11/docs",
        "debian-12/unit",
        "debian-12/docs",
        "alpine-3.20/unit",
        "alpine-3.20/docs",
    ]


def test_variants_multiply_only_the_suites_they_name() -> None:
    variants = (Variant(name="a", suites=("un*",)), Variant(name="b", suites=("unit",)))
    assert list(cells(variants=variants, distros=(distro("d"),))) == [
        "d/unit/a",
        "d/unit/b",
        "d/docs",
    ]


def test_a_cell_runs_in_a_container_and_says_why() -> None:
    cell = cells()["debian-12/unit"]
    assert (cell.engine, cell.verdict, cell.unmet) == ("docker", None, False)
    assert "container" in cell.reason


def test_a_skip_rule_leaves_the_cell_with_its_reason() -> None:
    plan = cells(rules=(Rule(distro="alpine-*", suite="unit", skip="no CPython"),))
    cell = plan["alpine-3.20/unit"]
    assert (cell.engine, cell.verdict, cell.reason) == (None, Verdict.SKIPPED, "no CPython")
    assert not cell.unmet
    assert plan["alpine-3.20/docs"].engine == plan["debian-12/unit"].engine == "docker"


def test_of_skip_and_expect_the_first_match_counts() -> None:
    expect = Rule(distro="debian-11", expect="fail", reason="old")
    skip = Rule(distro="debian-*", skip="no")
    first = cells(rules=(expect, skip))
    cell = first["debian-11/unit"]
    assert (cell.expect_fail, cell.engine) == ((Expectation(reason="old"),), "docker")
    assert first["debian-12/unit"].reason == "no"
    assert cells(rules=(skip, expect))["debian-11/unit"].verdict is Verdict.SKIPPED


def reasons(*rules: Rule, distro: str = "debian-11") -> list[str]:
    return [one.reason for one in cells(rules=rules)[f"{distro}/unit"].expect_fail]


def test_rules_that_name_cases_add_up_each_with_its_own_reason() -> None:
    named = Rule(distro="debian-*", cases=("*a*",), expect="fail", reason="a", expect_status=(3,))
    more = Rule(cases=("b", "c"), expect="fail", reason="bc")
    cell = cells(rules=(named, more))["debian-11/unit"]
    assert cell.expect_fail == (
        Expectation(reason="a", cases=("*a*",), statuses=(3,)),
        Expectation(reason="bc", cases=("b", "c")),
    )
    assert reasons(named, more, distro="alpine-3.20") == ["bc"]


def test_what_comes_first_of_a_skip_a_whole_cell_and_cases_decides() -> None:
    named = Rule(cases=("*a*",), expect="fail", reason="a")
    whole = Rule(expect="fail", reason="all")
    hangs = Rule(expect="fail", reason="hangs", phase=("timeout",))
    assert reasons(whole, named) == ["all"]  # which any failing case is part of
    assert reasons(named, whole) == ["a", "all"]
    assert reasons(whole, hangs) == ["all"]
    assert reasons(hangs, named, whole) == ["hangs", "a"]
    assert cells(rules=(named, Rule(skip="no")))["debian-11/unit"].verdict is Verdict.SKIPPED
    assert cells(rules=(named, whole, Rule(skip="no")))["debian-11/unit"].engine == "docker"


def test_a_rule_that_only_adds_does_not_hide_a_later_skip() -> None:
    rules = (Rule(env={"A": "b"}), Rule(skip="no"))
    assert cells(rules=rules)["debian-11/unit"].reason == "no"


def test_additions_add_up() -> None:
    suite = Suite(name="unit", run="true", setup="own", packages=("p", "q"), env={"A": "suite"})
    rules = (
        Rule(packages=("q", "r"), setup="one", env={"B": "1"}),
        Rule(distro="debian-12", setup="two", env={"B": "2"}),
    )
    plan = cells(suites=(suite,), rules=rules)
    assert plan["debian-12/unit"].packages == ("p", "q", "r")
    assert plan["debian-12/unit"].setup == ("one", "two", "own")
    assert plan["debian-12/unit"].env == {"A": "suite", "B": "2"}
    assert plan["debian-11/unit"].env == {"A": "suite", "B": "1"}


@pytest.mark.parametrize(
    ("dropped", "value"), [((), "rule"), (("rule",), "variant"), (("rule", "variant"), "suite")]
)
def test_the_nearer_environment_wins(dropped: tuple[str, ...], value: str) -> None:
    def env(layer: str) -> dict[str, str]:
        return {} if layer in dropped else {"A": layer}

    plan = cells(
        env={"A": "matrix", "M": "m"},
        suites=(Suite(name="unit", run="true", env=env("suite")),),
        variants=(Variant(name="v", env=env("variant")),),
        rules=(Rule(env=env("rule")),),
    )
    assert plan["debian-12/unit/v"].env == {"A": value, "M": "m"}


@pytest.mark.parametrize(
    ("until", "runs"), [(date(2026, 11, 23), False), (date(2026, 11, 22), True)]
)
def test_a_rule_lapses_after_its_last_day(until: date, runs: bool) -> None:
    rule = Rule(expect="fail", reason="old", until=until, env={"A": "b"})
    cell = cells(rules=(rule,))["debian-12/unit"]
    assert cell.expect_fail == (() if runs else (Expectation(reason="old"),))
    assert cell.env == ({} if runs else {"A": "b"})


def test_a_rule_for_a_variant_leaves_others_alone() -> None:
    plan = cells(
        variants=(Variant(name="py311", suites=("unit",)), Variant(name="pypy", suites=("unit",))),
        rules=(Rule(variant="py3*", skip="no"), Rule(suite="docs", env={"A": "b"})),
    )
    assert plan["debian-12/unit/py311"].verdict is Verdict.SKIPPED
    assert plan["debian-12/unit/pypy"].verdict is None
    assert plan["debian-12/docs"].env == {"A": "b"}


def test_common_package_names_become_native_and_native_ones_stay() -> None:
    table = {"python": ("python3", "python3-venv"), "make": ("make",)}
    plan = cells(
        distros=(distro("d", packages=table), distro("e")),
        suites=(Suite(name="unit", run="true", packages=("python", "jq", "python3")),),
        variants=(Variant(name="v", packages=("make",)),),
    )
    assert plan["d/unit/v"].packages == ("python3", "python3-venv", "jq", "make")
    assert plan["e/unit/v"].packages == ("python", "jq", "python3", "make")


def test_what_a_suite_says_reaches_its_cells() -> None:
    suite = Suite(
        name="unit",
        run="r",
        prepare=Prepare(run="p"),
        restore="re",
        debug="de",
        timeout=5.0,
        user="1:1",
        cpus=2.0,
        memory=7,
        disk=8,
        pids=9,
        network=False,
        needs=(Need(name="mount"),),
        privileges=("mount",),
        cases=True,
    )
    cell = cells(suites=(suite,))["debian-12/unit"]
    for name in ("run", "prepare", "restore", "debug", "timeout", "user", "cpus", "memory"):
        assert getattr(cell, name) == getattr(suite, name)
    for name in ("disk", "pids", "network", "needs", "privileges", "cases"):
        assert getattr(cell, name) == getattr(suite, name)


def test_a_need_that_no_engine_meets_skips_the_cell_as_unmet() -> None:
    suite = Suite(name="unit", run="true", needs=(Need(name="kernel-modules"),))
    cell = cells(suites=(suite,))["debian-12/unit"]
    assert (cell.engine, cell.verdict, cell.unmet) == (None, Verdict.SKIPPED, True)
    assert cell.reason == (
        "needs kernel-modules, which a container does not have; "
        "no guest: its distro has no `guest:`"
    )


def test_a_guest_serves_where_the_distro_and_the_host_have_one() -> None:
    suite = Suite(name="unit", run="true", needs=(Need(name="kernel-modules"),))
    distros = (distro("a", guest=Guest(kernel="linux-image")), distro("b"))
    here = replace(FACTS, guests={"qemu": "", "vagrant": "no Vagrant"})
    plan = make_plan(matrix(suites=(suite,), distros=distros), here, Selection())
    assert [(cell.id, cell.engine, cell.unmet) for cell in plan.cells] == [
        ("a/unit", "qemu", False),
        ("b/unit", None, True),
    ]
    assert plan.cells[0].reason == "needs kernel-modules, which a container does not have"
    assert plan.guests == here.guests


def test_the_plan_says_where_a_setup_in_a_container_runs() -> None:
    needs = (Need(name="kernel-modules"),)
    asked: dict[str, Any] = {"run": "true", "setup_in_container": True}
    suites = (
        Suite(name="guest", setup="make", needs=needs, **asked),
        Suite(name="plain", setup="make", **asked),
        Suite(name="none", needs=needs, **asked),
    )
    distros = (distro("a", guest=Guest(kernel="linux")), distro("b", guest=Guest(box="b")))
    here = replace(FACTS, guests={"qemu": "", "vagrant": ""})
    rules = (Rule(suite="guest", setup="first"), Rule(suite="none", distro="b", setup="first"))
    plan = make_plan(matrix(suites=suites, distros=distros, rules=rules), here, Selection())
    found = {cell.id: cell for cell in plan.cells}
    why = "needs kernel-modules, which a container does not have"
    assert found["a/guest"].reason == f"{why}; setup in a container"
    assert found["a/guest"].setup == ("first", "make")
    assert found["a/plain"].reason == (
        "a container is enough; `setup: {in: container}` changes nothing, as it is one"
    )
    assert found["a/none"].reason == why
    assert found["b/guest"].engine == "vagrant"
    assert found["b/guest"].reason.endswith(
        "; setup in the guest, which is not made of a container's image"
    )
    assert found["a/guest"].setup_in_container


def test_a_skip_rule_comes_before_an_unmet_need() -> None:
    suite = Suite(name="unit", run="true", needs=(Need(name="reboot"),))
    cell = cells(suites=(suite,), rules=(Rule(skip="no"),))["debian-12/unit"]
    assert (cell.reason, cell.unmet) == ("no", False)


def test_selectors_leave_cells_out_with_a_reason() -> None:
    plan = planned(Selection(selectors=("debian-*/unit",), exclude=("debian-11",)))
    assert [cell.id for cell in plan.cells] == ["debian-12/unit"]
    reasons = {cell.id: cell.reason for cell in plan.excluded}
    assert reasons["debian-11/unit"] == "excluded by debian-11"
    assert reasons["alpine-3.20/unit"] == "not selected by debian-*/unit"
    assert len(reasons) == 5


def test_a_selected_cell_that_a_rule_skips_stays_in_the_plan() -> None:
    plan = planned(Selection(selectors=("alpine-3.20/unit",)), rules=(Rule(skip="no"),))
    assert [(cell.id, cell.engine) for cell in plan.cells] == [("alpine-3.20/unit", None)]


def test_a_selector_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(NothingSelectedError, match="debian-12"):
        planned(Selection(selectors=("debain-12",)))


def test_a_timeout_of_the_command_line_is_every_suites() -> None:
    plan = planned(Selection(timeout=7.0))
    assert {cell.timeout for cell in plan.cells} == {7.0}


def test_the_plan_holds_the_distros_its_cells_use() -> None:
    plan = planned(Selection(selectors=("debian-12",)))
    assert [d.name for d in plan.distros] == ["debian-12"]


def test_an_expired_distro_is_warned_of_only_where_it_runs() -> None:
    old = distro("old", eol=date(2026, 1, 1))
    line = "old is past its end of life (2026-01-01): its packages get no more fixes"
    more = {"distros": (old, distro("new")), "warnings": (line, "another")}
    assert planned(**more).warnings == (line, "another")
    assert planned(Selection(selectors=("new",)), **more).warnings == ("another",)


def test_the_plan_as_json_is_what_programs_were_promised() -> None:
    plan = planned(
        Selection(selectors=("debian-12",)),
        rules=(Rule(suite="docs", skip="no"),),
        variants=(Variant(name="v", suites=("unit",)),),
    )
    data = plan_to_json(plan)
    assert data["cells"] == [
        {
            "id": "debian-12/unit/v",
            "distro": "debian-12",
            "suite": "unit",
            "variant": "v",
            "engine": "docker",
            "reason": plan.cells[0].reason,
            "verdict": None,
            "tags": [],
            "gating": True,
            "gating_reason": None,
        },
        {
            "id": "debian-12/docs",
            "distro": "debian-12",
            "suite": "docs",
            "variant": None,
            "engine": None,
            "reason": "no",
            "verdict": "skipped",
            "tags": [],
            "gating": True,
            "gating_reason": None,
        },
    ]
    assert {"id": "debian-11/docs", "reason": "not selected by debian-12"} in data["excluded"]


def test_a_stored_plan_comes_back_whole(tmp_path: Path) -> None:
    images = (
        Pull(ref="example.org/d:1", refresh=5.0),
        Bootstrap(tool="mmdebstrap", suite="sid", options=("--x",)),
        Archive(file="r.tar.gz", sha256="0" * 64),
    )
    rich = replace(
        distro("d", eol=date(2027, 1, 1), packages={"a": ("b",)}, guest=Guest(box="x")),
        image=images,
    )
    suite = Suite(
        name="unit",
        run="true",
        prepare=Prepare(run="p", files=("f",)),
        needs=(Need(name="own-kernel", version=">=6.1"),),
    )
    plan = planned(
        Selection(exclude=("debian-12",)), distros=(rich, distro("debian-12")), suites=(suite,)
    )
    store_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("content", ["", "{", "{}", '{"cells": 3}'])
def test_what_is_no_stored_plan_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_plan(path)
    assert "plan.json: is not a stored plan" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_plan_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_plan(tmp_path / "plan.json")
