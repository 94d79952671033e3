"""The answer on the terminal: the grid, then what failed and where, then one last line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from distromatrix.collect.retried import retry_folder
from distromatrix.collect.text import one_line, printable, shorten
from distromatrix.model import CellResult, CellRun, Flaky, Kept, Plan, Reason, RunResult, Verdict
from distromatrix.plan.file import is_merged
from distromatrix.plan.needs import GUESTS
from distromatrix.record.repetitions import run_id, told_by
from distromatrix.record.verdicts import said_of_needs, tolerated
from distromatrix.reports.commands import exported, opens, resume, run_again, shown_path
from distromatrix.reports.expected import Against, passed_by_gating, unmatched_lines
from distromatrix.reports.flaky import FlakyCase, count_flaky, counts_of, flaky_sections
from distromatrix.reports.grid import by_host, grid, without_report
from distromatrix.reports.grouping import (
    NOT_GATING,
    WORDINGS,
    Failure,
    Group,
    by_reason,
    fault_title,
    group_faults,
)
from distromatrix.reports.hints import hints_of
from distromatrix.reports.reasons import Explained, explained, in_short
from distromatrix.reports.rules import rules_in_short
from distromatrix.reports.since import AskEarlier, ask_nothing, since_lines
from distromatrix.reports.style import Look, duration, repeated, say, style, tally
from distromatrix.wording import counted, some_of

if TYPE_CHECKING:
    from rich.console import Console

MAX_CASES = 20  # of a group
MAX_ENDS = 6  # of outputs in a group
MAX_CELLS = 6  # named in one line
TAIL = 12  # lines of output
MAX_REASON = 12  # lines


def print_summary(
    console: Console,
    plan: Plan,
    result: RunResult,
    *,
    folder: Path,
    warnings: Iterable[str] = (),
    earlier: AskEarlier = ask_nothing,
    groups: Explained | None = None,
) -> None:
    """Print what came out of a run, whose files are in `folder`. `warnings` are those that the
    user has not seen yet; `earlier` asks the history; `groups`: its failures, where that is known
    already."""
    groups = explained(plan, result) if groups is None else groups
    _Summary(console, plan, result, folder, groups, earlier).print(tuple(warnings))


def _kept(cell: CellResult) -> Iterator[tuple[str, Kept]]:
    """The machines of a cell that stay: its runs', and of each those of its guests."""
    each: list[tuple[str, CellResult | CellRun]] = [
        (run_id(cell.id, run.repeat), run) for run in cell.runs
    ]
    again = [(f"{cell.id}/{retry_folder(run.repeat)}", run) for run in cell.retries]
    for name, one in (*(each or [(cell.id, cell)]), *again):
        guests = {f.kept.name: (f.engine, f.kept) for f in one.fallback if f.kept}
        if one.kept and one.kept.name not in guests:
            yield name, one.kept
        for engine, machine in guests.values():
            yield f"{name} (in {engine})", machine


class _Summary:
    """One summary: the parts, from top to bottom, are the methods in their order."""

    def __init__(
        self,
        console: Console,
        plan: Plan,
        result: RunResult,
        folder: Path,
        groups: Explained,
        earlier: AskEarlier,
    ) -> None:
        self._console = console
        self._groups = groups
        self._earlier = earlier
        self._look = Look.of(console)
        self._plan = plan
        self._result = result
        self._folder = folder
        self._ended: set[str] = set()  # cells whose last lines were shown

    def print(self, warnings: tuple[str, ...]) -> None:
        say(self._console)
        table = grid(self._plan, self._result.cells, self._look)
        # rich takes 80 columns for what is no terminal, and lets no table be wider than that.
        self._console.width = self._look.width
        self._console.print(table, crop=False, highlight=False)
        if bare := without_report(self._plan, self._result.cells):
            say(self._console)
            self._line(f"passed without a report of cases: {some_of(bare, MAX_CELLS)}", "dim")
        self._in_guests()
        self._skipped()
        self._reasons(Verdict.XFAILED, "failed, as expected")
        for group, reasons in self._groups:
            self._group(group, reasons)
        self._flaky()
        self._unexpected()
        self._rules()
        self._errors()
        self._not_gating()
        self._kept()
        self._exported()
        self._warnings(warnings)
        self._last_lines()

    def _in_guests(self) -> None:
        """Which cells, and cases of cells, ran in a guest, and why."""
        where: dict[str, list[str]] = defaultdict(list)
        reasons = {cell.id: cell.reason for cell in self._plan.cells}
        for cell in self._result.cells:
            if cell.engine in GUESTS:
                where[f"{cell.engine}: {reasons.get(cell.id, '')}"].append(cell.id)
            for one in cell.fallback:
                cases = f"{counted(len(one.tests), 'case')} of {cell.id}"
                where[f"{one.engine}: {one.why}"].append(cases)
        if where:
            self._title(None, "in guests")
        for reason, what in where.items():
            self._line(one_line(reason, 500))
            self._line(f"    {some_of(tuple(what), MAX_CELLS)}", "dim")

    def _skipped(self) -> None:
        self._reasons(Verdict.SKIPPED, "skipped")
        accepted = self._result.verdict in (Verdict.PASSED, Verdict.SKIPPED)
        needing = tuple(cell for cell in self._result.cells if cell.needing)
        for cell in needing:
            green = cell.verdict is Verdict.PASSED and cell.reason
            said = cell.reason if green else said_of_needs(cell.needing)
            self._line(f"{cell.id}: {one_line(said, 500)}")
        unmet = (
            cell
            for cell in (*self._of(Verdict.SKIPPED), *needing)
            if cell.unmet and not cell.not_gating
        )
        if not accepted and any(unmet):
            self._line("unmet needs fail the run; --allow-unmet accepts them")

    def _reasons(self, verdict: Verdict, title: str) -> None:
        if cells := self._of(verdict):
            self._title(verdict, title)
        self._by_reason((one_line(cell.reason, 500), cell.id) for cell in cells)

    def _by_reason(self, said: Iterable[tuple[str, str]]) -> None:
        for reason, ids in by_reason(said).items():
            self._line(reason)
            self._line(f"    {some_of(ids, MAX_CELLS)}", "dim")

    def _group(self, group: Group, reasons: tuple[Reason, ...]) -> None:
        self._title(Verdict.FAILED, group.label, gating=group.gating)
        room = MAX_CASES
        for number, (failures, cells) in enumerate(group.by_column):
            said = ""
            for failure in failures[:room]:
                said = self._failure(failure, said)
            if (more := len(failures) - room) > 0:
                where = f"cells/{cells[0]}/junit.xml"
                self._line(f"{self._dots} and {more:,} more in {where}", "dim")
            room = max(room - len(failures), 1)
            if number < MAX_ENDS:
                self._end_of(cells, hints_of(failures, self._plan, self._result.cells))
        if (more := len(group.by_column) - MAX_ENDS) > 0:
            self._line(f"{self._dots} and the ends of {more:,} more suites in cells/", "dim")
        for line in since_lines(group, self._earlier):
            say(self._console, ("  history ", "dim"), one_line(line, self._room))
        for text in in_short(reasons):
            say(self._console, ("  differs ", "dim"), one_line(text, max(self._room - 8, 60)))
        self._again(group.cells)

    def _failure(self, failure: Failure, said: str) -> str:
        """One failure; what is said of it where it is not what was `said` just before, and if it
        is not everywhere the same, with where. Returns what was said."""
        several = len(failure.wordings) > 1
        if failure.case is None and not several:
            reason = one_line(failure.wordings[0].text, self._room)
            self._line(f"{failure.column}: {reason}")
            return ""
        if failure.case is None:
            self._line(f"{failure.column}:")
        else:
            where = f" (in {failure.case.engine})" if failure.case.engine else ""
            name = one_line(failure.case.name, 1000)
            say(self._console, (f"  {failure.column}  ", "dim"), f"{name}{where}")
        message = one_line(failure.wordings[0].text, self._room - 4)
        if not several:
            if message and message != said:
                self._line(f"    {message}", "red")
            return message
        for one in failure.wordings[:WORDINGS]:
            where = f"  in {some_of(one.cells, MAX_CELLS)}"
            text = one_line(one.text, max(self._room - 4 - len(where), 40)) or "no message"
            say(self._console, (f"      {text}", "red"), (where, "dim"))
        if (more := len(failure.wordings) - WORDINGS) > 0:
            self._line(f"    {self._dots} and in {more:,} other wordings", "dim")
        return ""

    def _flaky(self) -> None:
        for title, verdict, gating, cases in flaky_sections(self._plan, self._result.cells):
            self._title(verdict if gating else Verdict.XFAILED, title)
            self._flaky_cases(cases)

    def _flaky_cases(self, cases: tuple[FlakyCase, ...]) -> None:
        said = ""
        for one in cases[:MAX_CASES]:
            name = one_line(one.case, 1000) or "(the suite as a whole)"
            say(self._console, (f"  {one.column}  ", "dim"), name)
            message = one_line(one.message, self._room - 4)
            if message and message != said:
                self._line(f"    {message}", "red")
            said = message
            for cell, counts in one.cells[:MAX_CELLS]:
                self._line(f"    {cell.id}: {self._counts(cell, counts)}")
            if len(one.cells) > MAX_CELLS:
                self._line(f"    {self._dots} and on {len(one.cells) - MAX_CELLS:,} more", "dim")
        self._more_in_results(len(cases) - MAX_CASES)
        cells = {cell.id: cell for one in cases for cell, _ in one.cells}
        ids = tuple(cells)
        self._end_of(ids, dict.fromkeys(hint for cell in cells.values() for hint in cell.hints))
        self._again(ids)

    def _counts(self, cell: CellResult, flaky: Flaky) -> str:
        said = counts_of(cell, flaky)
        if not cell.runs:
            return said
        missing = len(cell.runs) < self._plan.repeat
        said += f" ({self._plan.repeat} were requested)" if missing else ""
        return f"{said}, first in repeat-{flaky.first}"

    def _unexpected(self) -> None:
        for gating, found in passed_by_gating(self._result.cells):
            title = "passed, though a rule expects a failure" + NOT_GATING * (not gating)
            self._title(Verdict.XPASSED, title, gating=gating)
            self._against(found)

    def _against(self, found: tuple[Against, ...]) -> None:
        for one in found[:MAX_CASES]:
            where = some_of(one.cells, MAX_CELLS)
            if one.case:
                self._line(one_line(one.case, 1000))
                self._line(f"    {where}: {one_line(one.reason, 500)}", "dim")
            else:
                self._line(f"{where}: {one_line(one.reason, self._room)}")
        self._more_in_results(len(found) - MAX_CASES)
        self._line("remove the rule from the matrix, or make it match less")
        self._again(tuple(dict.fromkeys(cell for one in found for cell in one.cells)))

    def _rules(self) -> None:
        if lines := rules_in_short(self._plan, self._result, self._folder):
            title = "to expect these failures, put first under `rules:`, each with a reason"
            self._title(None, title)
            for line in lines:
                self._line(line)

    def _errors(self) -> None:
        faults = group_faults(self._result.cells)
        told = ""
        for fault in faults:
            if (title := fault_title(fault)) != told:
                self._title(Verdict.ERROR, title, gating=fault.gating)
                told = title
            ids = tuple(cell.id for cell in fault.cells)
            tried = max(cell.attempts for cell in fault.cells)
            times = f", tried {tried} times" if tried > 1 else ""
            phase = f" ({fault.phase}{times})" if fault.phase else ""
            self._line(some_of(ids, MAX_CELLS) + phase)
            for line in printable(fault.reason).split("\n")[:MAX_REASON]:
                self._line(f"    {line}", style(Verdict.ERROR).removeprefix("bold "))
            self._end_of(ids)
        if faults:
            self._again(tuple(cell.id for cell in self._of(Verdict.ERROR)))

    def _not_gating(self) -> None:
        """Why those that are bad do not count."""
        cells = [cell for cell in self._result.cells if tolerated(cell)]
        if cells:
            self._title(None, "not gating: shown, but not counted")
            self._by_reason((one_line(cell.not_gating, 500), cell.id) for cell in cells)

    def _kept(self) -> None:
        kept = {name: machine for cell in self._result.cells for name, machine in _kept(cell)}
        if kept:
            self._title(None, "kept machines")
            for name, machine in kept.items():
                self._line(name)
                self._line(f"    enter   {machine.enter}")
                self._line(f"    remove  {machine.remove}")

    def _exported(self) -> None:
        files = dict.fromkeys(one for cell in self._result.cells for one in exported(cell))
        if files:
            self._title(
                None, "exported machines: with all that their cells wrote, product included"
            )
        for one in files:
            self._line(f"{opens(one, self._folder)}  ({one.size / 1e6:,.1f} MB)")

    def _warnings(self, warnings: tuple[str, ...]) -> None:
        of_cells = (f"{cell.id}: {text}" for cell in self._result.cells for text in cell.warnings)
        of_rules = unmatched_lines(self._plan, self._result.cells)
        if lines := (*warnings, *of_rules, *of_cells):
            self._title(Verdict.XFAILED, "warnings")
            for text in lines:
                self._line(one_line(text, 1000))

    def _last_lines(self) -> None:
        result = self._result
        say(self._console)
        if result.interrupted and is_merged(self._folder):
            say(self._console, (f"interrupted ({result.interrupted}); merge again", "yellow"))
        elif result.interrupted:
            text = f"interrupted ({result.interrupted}); continue with: "
            say(self._console, (text, "yellow"), resume(self._plan, result.run))
        say(
            self._console,
            (f"{result.verdict}", f"bold {style(result.verdict).removeprefix('bold ')}"),
            f"  {counted(len(result.cells), 'cell')}{repeated(self._plan.repeat)}"
            f" in {duration(result.seconds)}: ",
            tally(result.cells, self._look),
            f", {flaky:,} flaky" if (flaky := count_flaky(result.cells)) else "",
        )
        if self._plan.seed is not None:
            say(self._console, ("seed    ", "dim"), str(self._plan.seed))
        say(self._console, ("files   ", "dim"), shown_path(self._folder))

    # --- parts of parts --------------------------------------------------------------------

    @property
    def _dots(self) -> str:
        return self._look.pick("…", "...")

    @property
    def _room(self) -> int:
        return max(self._look.width - 4, 40)

    def _of(self, verdict: Verdict) -> tuple[CellResult, ...]:
        return tuple(cell for cell in self._result.cells if cell.verdict is verdict)

    def _more_in_results(self, number: int) -> None:
        if number > 0:
            self._line(f"{self._dots} and {number:,} more in results.json", "dim")

    def _title(self, verdict: Verdict | None, text: str, *, gating: bool = True) -> None:
        symbol = f"{self._look.symbol(verdict)} " if verdict else ""
        look = style(verdict if gating else Verdict.XFAILED) if verdict else "bold"
        say(self._console)
        say(self._console, (symbol + text, look))

    def _line(self, text: str, look: str = "") -> None:
        say(self._console, (f"  {text}", look))

    def _end_of(self, cells: tuple[str, ...], hints: Iterable[str] = ()) -> None:
        """The last lines of one of the cells, of a new one if there is one; the hints; its
        files."""
        by_id = {cell.id: cell for cell in self._result.cells}
        cell = next(
            (c for c in cells if c not in self._ended and (by_id[c].tail or by_id[c].debug)), None
        )
        if cell is not None:
            self._ended.add(cell)
            if by_id[cell].tail:
                self._block(f"the end of {told_by(by_id[cell])}:", by_id[cell].tail)
            if by_id[cell].debug:
                self._block(f"debug output of {told_by(by_id[cell])}:", by_id[cell].debug)
        for hint in hints:
            say(self._console, ("  hint    ", "dim"), (one_line(hint, 300), "yellow"))
        first = self._folder / "cells" / told_by(by_id[cell or cells[0]])
        if first.is_dir():
            say(self._console, ("  files   ", "dim"), shown_path(first))

    def _block(self, title: str, lines: tuple[str, ...]) -> None:
        self._line(title, "dim")
        bar = self._look.pick("│", "|")
        for line in lines[-TAIL:]:
            shown = shorten(printable(line).expandtabs(4), self._room)
            say(self._console, (f"  {bar} ", "dim"), shown)

    def _again(self, cells: tuple[str, ...]) -> None:
        if hosts := by_host(self._result.cells, cells):
            text = "; ".join(f"{host}: {some_of(ids, MAX_CELLS)}" for host, ids in hosts.items())
            say(self._console, ("  ran on  ", "dim"), one_line(text, self._room))
        say(self._console, ("  again   ", "dim"), (run_again(self._plan, cells), "cyan"))
