"""The rules that a run suggests: they load, and make just what failed expected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from xml.sax.saxutils import quoteattr

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loading import TODAY, Project

from distromatrix.collect.junit import read_cases
from distromatrix.engines.contract import Exit
from distromatrix.execute.cell.attempt import Attempt, judge
from distromatrix.execute.queue.order import in_order
from distromatrix.load import load_matrix
from distromatrix.model import (
    Cell,
    CellResult,
    HostFacts,
    Phase,
    Plan,
    Selection,
    Verdict,
)
from distromatrix.plan.make import make_plan as plan_of
from distromatrix.reports.rules import rules_for

OPEN = 'reason: ""'
# --- what is suggested, loaded and tried again -----------------------------------------------

DISTROS = ("debian-11", "debian-12", "debian-13", "alpine-3.20")
SUITES = ("unit", "libc", "libc-more")
NAMES = ("a::b", "a::test[x-1]", "a::test[x-2]", 'q"u\\o::*', "é :: {c}: #d, [e]", "what? &", "- x")
MATRIX = """\
distros: [debian-11, debian-12, debian-13, alpine-3.20]
suites:
  unit: {run: $DISTROMATRIX_JUNIT}
  libc: {run: x}
  libc-more: {run: x}
variants:
  v1: {suites: [libc]}
  v2: {suites: [libc]}
rules:
"""
KNOWN = (
    "",
    '  - {suite: unit, expect: fail, cases: ["a::b", "what[?]*"], reason: known}',
    "  - {distro: debian-*, suite: libc, expect: fail, reason: old, expect_status: 1}",
    "  - {distro: debian-12, expect: fail, phase: [timeout], reason: slow}",
    '  - {distro: alpine-*, expect: fail, cases: ["a::*"], reason: musl, expect_status: [1, 2]}',
)


@dataclass(frozen=True)
class Did:
    """How a cell ended: in which phase, by which status (None: a timeout), out of memory, and
    which cases failed and passed (None: it left no report)."""

    status: int | None = 0
    setup: bool = False
    oom: bool = False
    failed: tuple[str, ...] | None = None
    passed: tuple[str, ...] = ()


CASES = st.lists(st.sampled_from(NAMES), max_size=4).map(tuple)
DID = st.builds(
    Did,
    status=st.sampled_from([0, 0, 1, 1, 2, 127, 139, None]),
    setup=st.sampled_from([False, False, False, True]),
    oom=st.sampled_from([False, False, False, True]),
    failed=st.one_of(st.none(), CASES, CASES),
    passed=CASES,
)


class Log:
    def close(self) -> None: ...

    def tail(self, lines: int) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Image:
    used: None = None


def came_of(cell: Cell, did: Did, folder: Path) -> CellResult:
    """The result of a cell that did so, as the executor judges it."""
    (task,) = in_order((cell,), 1, None)
    tried = Attempt(task=task, prepared=cast(Any, Image()), folder=folder, number=1)
    tried.phase = Phase.SETUP if did.setup else Phase.RUN
    status = 137 if did.oom else did.status
    if did.setup and status == 0:
        status = 1
    tried.exit = Exit(status=status, seconds=1.0, oom=did.oom)
    if did.failed is not None and not did.setup:
        path = folder / "cells" / cell.id / "junit.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(xml(did.failed, did.passed), encoding="utf-8")
        tried.report = read_cases(path, expected=cell.expect_fail)
        tried.counts = tried.report.counts
    return judge(tried, cast(Any, Log()))


def xml(failing: Iterable[str], passing: Iterable[str]) -> str:
    said = [f"<testcase name={quoteattr(n)}><failure/></testcase>" for n in failing]
    said += [f"<testcase name={quoteattr(n)}/>" for n in passing]
    return f"<testsuite>{''.join(said)}</testsuite>"


def planned(project: Project, rules: str) -> Plan:
    project.write(MATRIX + (rules or "  []\n"))
    matrix = load_matrix(project.file, today=TODAY)
    facts = HostFacts(arch="x86_64", cpus=1, memory=1, today=TODAY)
    return plan_of(matrix, facts, Selection())


def judged(plan: Plan, did: dict[str, Did], folder: Path) -> dict[str, CellResult]:
    return {c.id: came_of(c, did[c.id], folder) for c in plan.cells}


IDS = [f"{d}/{s}" for d in DISTROS for s in ("unit", "libc/v1", "libc/v2", "libc-more")]


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    did=st.lists(DID, min_size=1, max_size=4),
    which=st.lists(st.integers(0, 3), min_size=len(IDS), max_size=len(IDS)),
    known=st.sampled_from(KNOWN),
)
def test_suggested_rules_load_and_make_just_what_failed_expected(
    did: list[Did], which: list[int], known: str
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        project = Project(root)
        does = {cell: did[n % len(did)] for cell, n in zip(IDS, which, strict=True)}
        before_plan = planned(project, known)
        before = judged(before_plan, does, root)
        rules = rules_for(before_plan, before.values(), root)
        if not rules:
            assert Verdict.FAILED not in {one.verdict for one in before.values()}
            return
        text = "\n".join(f"  {line}" for lines in rules for line in lines)
        assert text.count(OPEN) == len(rules)
        project.write(MATRIX + text)
        assert {f.message for f in project.faults()} == {"the reason is left open"}
        filled = text.replace(OPEN, "reason: because")
        after = judged(planned(project, f"{filled}\n{known}\n"), does, root)
        for cell, was in before.items():
            wanted = was.verdict
            if wanted is Verdict.FAILED:  # and what passed against a rule that was there still does
                wanted = Verdict.XPASSED if outlived(before_plan, was) else Verdict.XFAILED
            again = after[cell]
            superseded = was.verdict is Verdict.FAILED and again.verdict is Verdict.XFAILED
            assert again.verdict is wanted or superseded, (cell, was.reason, again.reason, text)


def outlived(plan: Plan, was: CellResult) -> bool:
    """Whether a rule of the cell expects what did not fail."""
    rules = next(cell.expect_fail for cell in plan.cells if cell.id == was.id)
    whole = [one for one in rules if not one.cases]
    return bool(was.xpassed) or any(set(one.kinds).isdisjoint(was.failed_by) for one in whole)
