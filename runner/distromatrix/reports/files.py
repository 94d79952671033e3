"""The files of a run for programs: `results.json` and the merged `junit.xml`."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from distromatrix.collect.facts import facts_files
from distromatrix.collect.junit import CollectError
from distromatrix.collect.retried import parse_cell
from distromatrix.collect.text import one_line, printable
from distromatrix.errors import InfrastructureError
from distromatrix.files.whole import whole_file
from distromatrix.model import (
    BAD,
    Case,
    CaseStatus,
    CellResult,
    CellRun,
    Fallback,
    ImageUsed,
    Outcome,
    Plan,
    Reason,
    RunResult,
    Verdict,
)
from distromatrix.plan.file import plan_to_json, shard_stamp
from distromatrix.record.expectations import Marker
from distromatrix.record.history import Outcomes
from distromatrix.record.repetitions import run_id
from distromatrix.reports.commands import opens
from distromatrix.reports.grouping import Group
from distromatrix.reports.reasons import Explained, explained

_TAG: dict[CaseStatus, str] = {
    "failed": "failure",
    "error": "error",
    "skipped": "skipped",
    "xfailed": "skipped",
    "xpassed": "failure",
}
_COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}


class Written(NamedTuple):
    """What was found out for a run's files: what came of its cases, and why groups of them fail."""

    outcomes: Outcomes
    groups: Explained


def results_json(plan: Plan, result: RunResult, groups: Explained | None = None) -> dict[str, Any]:
    """What `results.json` holds, and `--json` prints; `plan` as `plan --json` prints it; `groups`:
    its failures, where that is known already.
    A run that is a shard says so: `shard`, and the `digest` of the plan that it is of."""
    facts = facts_files(result.folder)
    return {
        "run": result.run,
        **shard_stamp(result.folder),
        "verdict": str(result.verdict),
        "repeat": plan.repeat,
        "seed": plan.seed,
        "plan": plan_to_json(plan),
        "cells": [
            {**_cell_json(cell), "facts": facts.get(cell.id.partition("/")[0])}
            for cell in result.cells
        ],
        "groups": [
            _group_json(*one) for one in (explained(plan, result) if groups is None else groups)
        ],
    }


def _group_json(group: Group, reasons: tuple[Reason, ...]) -> dict[str, Any]:
    """Failures with the same footprint, and what is different where they fail."""
    return {
        "label": group.label,
        "gating": group.gating,
        "cells": list(group.cells),
        "cases": [one.case.name for one in group.failures[:1000] if one.case],
        "differs": [one.text for one in reasons],
    }


def _image_json(image: ImageUsed | None) -> dict[str, Any] | None:
    if image is None:
        return None
    locked = {"locked": True} if image.locked else {}
    return {"source": image.source, "id": image.id, **locked}


def _cell_json(cell: CellResult) -> dict[str, Any]:
    return {
        "id": cell.id,
        **_run_json(cell),
        "gating": not cell.not_gating,
        "gating_reason": cell.not_gating or None,
        "engine": cell.engine,
        "blame": (cell.blame or "infrastructure") if cell.verdict is Verdict.ERROR else None,
        "image": _image_json(cell.image),
        "xpassed": [case.name for case in cell.xpassed],
        "unmatched": [
            {"glob": one.glob, "reason": one.reason, "near": one.near} for one in cell.unmatched
        ],
        "debug": list(cell.debug),
        "hints": list(cell.hints),
        "warnings": list(cell.warnings),
        "needing": [{"test": one.test, "needs": list(one.needs)} for one in cell.needing],
        "runs": [{"repeat": run.repeat, **_run_json(run)} for run in cell.runs],
        "retries": [_run_json(run) for run in cell.retries],
        "flaky": [
            {"case": one.case or None, "passed": one.passed, "failed": one.failed}
            for one in cell.flaky
        ],
    }


def _run_json(run: CellResult | CellRun) -> dict[str, Any]:
    return {
        "verdict": str(run.verdict),
        "phase": str(run.phase) if run.phase else None,
        "seconds": run.seconds,
        "reason": run.reason,
        "cases": asdict(run.cases) if run.cases else None,
        **_exported_json(run),
        **({"host": run.host} if run.host else {}),
        "fallback": [_fallback_json(one) for one in run.fallback],
    }


def _exported_json(run: Outcome) -> dict[str, Any]:
    """The file that its machine went into, from the run's folder, where there is one."""
    if run.exported is None:
        return {}
    said = {"file": run.exported.file, "bytes": run.exported.size, "command": opens(run.exported)}
    return {"exported": said}


def _fallback_json(one: Fallback) -> dict[str, Any]:
    return {
        "engine": one.engine,
        "reason": one.why,
        "how": one.how,
        "cases": list(one.tests),
        "verdict": str(one.verdict),
        "phase": str(one.phase) if one.phase else None,
        "seconds": one.seconds,
        "said": one.reason,
        "counts": asdict(one.cases) if one.cases else None,
        "image": _image_json(one.image),
        **_exported_json(one),
    }


def write_reports(folder: Path, plan: Plan, result: RunResult) -> Written:
    """Write both files, at once or not at all each. Raises InfrastructureError when they cannot be
    written."""
    written = Written(Outcomes(plan.repeat > 1), explained(plan, result))
    with _replacing(folder / "results.json") as file:
        said = results_json(plan, result, written.groups)
        file.write(json.dumps(said, indent=1).encode() + b"\n")
    write_junit(folder, plan, result, written.outcomes)
    return written


def write_junit(
    folder: Path, plan: Plan, result: RunResult, outcomes: Outcomes | None = None
) -> None:
    """Write `junit.xml`, at once or not at all: a testsuite for each cell, with the cases of
    the cell's own file, and a case called like the cell where they do not say it all. Of a cell
    that was run several times each run is a testsuite. The cases are noted as `outcomes`, too."""
    noted = Outcomes() if outcomes is None else outcomes
    total: Counter[str] = Counter()
    expected = {cell.id: cell.expect_fail for cell in plan.cells}
    with _replacing(folder / "junit.xml") as file, tempfile.TemporaryFile(dir=folder) as body:
        for cell in result.cells:
            for suite in _suites(cell, plan.repeat):
                marker = Marker(expected.get(cell.id, ()))
                note = partial(noted.note, cell.id)
                total += _write_suite(body, folder, suite, marker, note)
        name = quoteattr(f"distromatrix {result.run}")
        file.write(b'<?xml version="1.0" encoding="utf-8"?>\n')
        file.write(f"<testsuites name={name}{_counts(total)}".encode())
        file.write(f' time="{result.seconds:.3f}">\n'.encode())
        body.seek(0)
        shutil.copyfileobj(body, file)
        file.write(b"</testsuites>\n")


def _suites(cell: CellResult, repeat: int) -> Iterator[CellResult]:
    """The cell itself, or what each of its runs would be as a cell of its own; and what kept it
    from having them all."""
    said = False  # its last lines are those of the first run that decided
    for run in cell.runs:
        speaks = run.verdict is cell.verdict and not said
        said = said or speaks
        yield replace(
            cell,
            id=run_id(cell.id, run.repeat),
            verdict=run.verdict,
            seconds=run.seconds,
            reason=run.reason,
            fallback=run.fallback,
            tail=cell.tail if speaks else (),
            debug=cell.debug if speaks else (),
        )
    cut_off = len(cell.runs) < repeat and cell.verdict in (Verdict.ERROR, Verdict.SKIPPED)
    if not cell.runs or cut_off:
        yield replace(cell, seconds=0.0) if cell.runs else cell


def _write_suite(
    out: IO[bytes],
    folder: Path,
    cell: CellResult,
    marker: Marker,
    note: Callable[[Case], None],
) -> Counter[str]:
    """Append the testsuite of one cell; the numbers in it come back."""
    count: Counter[str] = Counter()
    seen: list[Case] = []
    with tempfile.SpooledTemporaryFile(max_size=1024 * 1024, dir=str(folder)) as cases:

        def add(case: Case) -> None:
            case = _excused(case, cell.not_gating)
            count["tests"] += 1
            count["xpassed"] += case.status == "xpassed"
            if tag := _TAG.get(case.status):
                count[_COUNTED[tag]] += 1
            cases.write(_case_xml(cell.id, case).encode())

        def add_own(case: Case) -> None:
            case = marker.mark(case)
            add(case)
            seen.append(replace(case, message="", text=""))

        try:
            parse_cell(folder / "cells" / cell.id, cell, add_own)
            for case in seen:
                note(case)
        except (FileNotFoundError, CollectError):
            cases.seek(0)  # what was read of a file that is unusable does not count
            cases.truncate()
            count.clear()
        if (whole := _whole(cell, count)) is not None:
            add(whole)
        name, time = quoteattr(printable(cell.id)), f"{cell.seconds:.3f}"
        out.write(f'  <testsuite name={name}{_counts(count)} time="{time}">\n'.encode())
        cases.seek(0)
        shutil.copyfileobj(cases, out)
        if cell.debug:
            said = escape(printable("\n".join(cell.debug)))
            out.write(f"    <system-out>{said}</system-out>\n".encode())
        out.write(b"  </testsuite>\n")
    return count


def _excused(case: Case, not_gating: str) -> Case:
    """A case of a cell as it is written: where that does not gate, nothing of it is red, for who
    reads the file would count that."""
    if not not_gating or case.status not in ("failed", "error", "xpassed"):
        return case
    said = case.message or case.expected or case.status
    return replace(
        case, status="skipped", message=f"not gating ({not_gating}): {said}", expected=""
    )


def _whole(cell: CellResult, count: Counter[str]) -> Case | None:
    """The case that stands for the whole cell, where its own do not: they are none, or green
    in a cell that is red."""
    status: CaseStatus = "passed"
    if cell.verdict in BAD:
        status = "error" if cell.verdict is Verdict.ERROR else "failed"
        red = count["failures"] + count["errors"] - count["xpassed"]
        if (cell.verdict is Verdict.FAILED and red) or (
            cell.verdict is Verdict.XPASSED and count["xpassed"]
        ):
            return None
    elif count["tests"]:
        return None
    elif cell.verdict in (Verdict.SKIPPED, Verdict.XFAILED):
        status = "xfailed" if cell.verdict is Verdict.XFAILED else "skipped"
    message = f"{cell.verdict}: {cell.reason}" if cell.reason else str(cell.verdict)
    if cell.verdict is Verdict.SKIPPED:
        message = cell.reason
    text = "\n".join(cell.tail) if status in ("failed", "error") else ""
    expected = message if status == "xfailed" else ""
    return Case(
        name=cell.id,
        status=status,
        seconds=cell.seconds,
        message="" if expected else message,
        text=text,
        flaky=status == "passed" and bool(cell.flaky),
        expected=expected,
    )


def _case_xml(cell: str, case: Case) -> str:
    classname, _, name = case.name.rpartition("::")
    head = (
        f"    <testcase classname={quoteattr(printable(classname or cell))}"
        f' name={quoteattr(printable(name))} time="{case.seconds:.3f}"'
    )
    where = ""
    if case.engine:
        value = f'name="engine" value={quoteattr(case.engine)}'
        where = f"<properties><property {value}/></properties>"
    message = quoteattr(one_line(case.message, 1000))
    text = escape(printable(case.text))
    if case.flaky and case.status == "passed":  # as Surefire says it: the failure stands there
        where += f'<flakyFailure message={message} type="flaky"><stackTrace>{text}</stackTrace>'
        where += "</flakyFailure>"
    if case.status == "passed":
        return f"{head}>{where}</testcase>\n" if where else f"{head}/>\n"
    tag, kind = _TAG[case.status], ""
    if case.expected:  # as pytest says it: the reason is the message
        kind = f' type="distromatrix.{case.status.removesuffix("ed")}"'
        said = "" if case.status == "xfailed" else "passed, though a rule expects it to fail: "
        message, own = quoteattr(one_line(said + case.expected, 1000)), case.message
        text = escape(printable(own)) + "\n" * bool(own and text) + text
    return f"{head}>{where}<{tag}{kind} message={message}>{text}</{tag}></testcase>\n"


def _counts(count: Counter[str]) -> str:
    keys = ("tests", "failures", "errors", "skipped")
    return "".join(f' {key}="{count[key]}"' for key in keys)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is whole."""
    try:
        with whole_file(path) as file:
            yield file
    except OSError as error:
        raise InfrastructureError(
            f"cannot write {path}: {error.strerror}", transient=False
        ) from error
