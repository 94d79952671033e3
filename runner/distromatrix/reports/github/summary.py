"""A run's answer as the summary of a job on GitHub: the verdict first, then what fails only
where, then the rest, under the size beyond which GitHub refuses it whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape

from distromatrix.collect.text import one_line
from distromatrix.model import BAD, CellResult, Plan, RunResult, Verdict
from distromatrix.record.repetitions import told_by
from distromatrix.record.verdicts import said_of_needs, tolerated
from distromatrix.reports.commands import exported, opens, run_elsewhere
from distromatrix.reports.expected import passed_by_gating, unmatched_lines
from distromatrix.reports.flaky import FlakyCase, counts_of, flaky_sections
from distromatrix.reports.github.html import MIB, Page, code, details, pre, table
from distromatrix.reports.grid import beside, laid_out
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
from distromatrix.reports.since import AskEarlier, ask_nothing, since_lines
from distromatrix.reports.style import SIGNS, WORST_FIRST, duration, repeated
from distromatrix.wording import counted, some_of

LIMIT = MIB  # bytes of a step's summary (actions/runner, CreateStepSummaryCommand)
_MARGIN = 1024
_CLOSING = 600  # bytes that are kept for the last words
_UNCOUNTED = "⚪"  # what is bad, and does not count
_WORDS = {
    Verdict.ERROR: "could not be tested",
    Verdict.XFAILED: "failed as expected",
    Verdict.XPASSED: "passed unexpectedly",
}
_SHOWN = 5  # failures of a group that show at once
_LISTED = 100  # failures of a group at all
_GROUPS = 12  # that show at once
_CELLS = 12  # named in one place
_ROWS, _COLUMNS = 14, 10  # of a grid that is shown whole at once
_SLOWEST = 10
_TAIL = 20  # lines


def github_summary(
    plan: Plan,
    result: RunResult,
    *,
    mask: Callable[[str], str] = str,
    before: int = 0,
    warnings: Sequence[str] = (),
    earlier: AskEarlier = ask_nothing,
    groups: Explained | None = None,
) -> str:
    """The summary: with the `before` bytes that are there already, at most 1 MiB of UTF-8; ''
    where not even the verdict fits. `warnings` are those of the run; `earlier` asks the history;
    `groups`: its failures, where that is known already."""
    groups = explained(plan, result) if groups is None else groups
    limit = LIMIT - before - _MARGIN
    return _GitHubSummary(plan, result, mask, limit, groups, earlier).text(warnings)


class _GitHubSummary:
    """The parts, from top to bottom, are the methods in their order."""

    def __init__(
        self,
        plan: Plan,
        result: RunResult,
        mask: Callable[[str], str],
        limit: int,
        groups: Explained,
        earlier: AskEarlier,
    ) -> None:
        self._plan = plan
        self._earlier = earlier
        self._result = result
        self._mask = mask
        self._by_id = {cell.id: cell for cell in result.cells}
        self._page = Page(limit)
        self._cut = False
        self._reasons = dict(groups)

    def text(self, warnings: Sequence[str]) -> str:
        if not self._page.add(self._verdict()):
            return ""
        groups = tuple(self._reasons)
        groups = tuple(sorted(groups, key=lambda g: (not g.gating, not g.partial, len(g.distros))))
        for block in (
            *self._failures(groups),
            *self._faults(),
            *self._warnings((*warnings, *unmatched_lines(self._plan, self._result.cells))),
            *self._exported(),
            *self._flaky(),
            *self._unexpected(),
            *self._grid(),
            *self._ends(groups),
            *self._not_gating(),
            *self._quiet(),
            *self._slowest(),
        ):
            self._cut |= not self._page.add(block, keep=_CLOSING)
        for block in self._closing():
            self._page.add(block)
        return str(self._page)

    # --- the parts -------------------------------------------------------------------------

    def _verdict(self) -> str:
        cells = self._result.cells
        count = Counter(cell.verdict for cell in cells if not tolerated(cell))
        bad = [(v, count[v]) for v in WORST_FIRST if v in BAD and count[v]]
        name = f"{code(self._plan.root.name, 80)}: " if self._plan.root.name else ""
        if self._result.interrupted:
            how = code(self._result.interrupted)
            said = f"{SIGNS[Verdict.ERROR]} {name}interrupted ({how})"
        elif bad:
            several = ", ".join(f"{number:,} {_outcome(v)}" for v, number in bad)
            said = f"{SIGNS[bad[0][0]]} {name}of {counted(len(cells), 'cell')} {several}"
        elif self._result.exit_code:
            unmet = sum(cell.unmet and not cell.not_gating for cell in cells)
            said = f"{SIGNS[Verdict.FAILED]} {name}{counted(unmet, 'cell')} not run"
        elif count[Verdict.PASSED] + count[Verdict.XFAILED] == 0:
            counts = " that counts" if any(map(tolerated, cells)) else ""
            said = f"{SIGNS[Verdict.SKIPPED]} {name}nothing{counts} was run"
            why = dict.fromkeys(one.reason for one in self._plan.excluded if not cells)
            said += f": {', '.join(map(code, [*why][:3]))}" if why else ""
        else:
            said = f"{SIGNS[Verdict.PASSED]} {name}all of {counted(len(cells), 'cell')} as expected"
        idle = Counter(cell.verdict for cell in cells if tolerated(cell))
        several = ", ".join(f"{idle[v]:,} {_outcome(v)}" for v in WORST_FIRST if idle[v])
        return f"<h2>{said}{f' ({several}, not gating)' if several else ''}</h2>"

    def _failures(self, groups: tuple[Group, ...]) -> Iterator[str]:
        for group in groups[:_GROUPS]:
            yield self._group(group)
        if rest := groups[_GROUPS:]:
            lines = "".join(f"<li>{self._in_short(group)}</li>" for group in rest[:_LISTED])
            more = f"<li>{len(rest) - _LISTED:,} more</li>" if len(rest) > _LISTED else ""
            yield details(f"{len(rest):,} more such groups", f"<ul>{lines}{more}</ul>")

    def _warnings(self, warnings: Sequence[str]) -> Iterator[str]:
        if warnings:
            lines = "".join(f"<li>{self._code(text, 500)}</li>" for text in warnings[:_LISTED])
            more = len(warnings) - _LISTED
            lines += f"<li>{more:,} more</li>" if more > 0 else ""
            yield details(counted(len(warnings), "warning"), f"<ul>{lines}</ul>")

    def _exported(self) -> Iterator[str]:
        files = [opens(one) for cell in self._result.cells for one in exported(cell)][:_LISTED]
        if files:
            lines = "".join(f"<li>{self._code(one, 500)}</li>" for one in files)
            yield details(f"{counted(len(files), 'machine')} exported", f"<ul>{lines}</ul>")

    def _faults(self) -> Iterator[str]:
        faults = group_faults(self._result.cells)
        told = ""
        for fault in faults[:_LISTED]:
            if (title := fault_title(fault)) != told:
                yield f"<h3>{_sign(Verdict.ERROR, gating=fault.gating)} {title}</h3>"
                told = title
            ids = tuple(cell.id for cell in fault.cells)
            phase = f" ({fault.phase})" if fault.phase else ""
            yield f"<p>{self._code(fault.reason, 400)}{phase}<br>{self._ids(ids)}</p>"
        if len(faults) > _LISTED:
            yield f"<p>and for {len(faults) - _LISTED:,} more reasons, in results.json</p>"

    def _flaky(self) -> Iterator[str]:
        for title, verdict, gating, cases in flaky_sections(self._plan, self._result.cells):
            yield f"<h3>{_sign(verdict, gating=gating)} {title}</h3>"
            yield from self._flaky_cases(cases)

    def _flaky_cases(self, cases: tuple[FlakyCase, ...]) -> Iterator[str]:
        rows = []
        for one in cases[:_LISTED]:
            where = "<br>".join(
                f"{code(cell.id)} {counts_of(cell, seen)}" for cell, seen in one.cells[:_CELLS]
            )
            more = len(one.cells) - _CELLS
            where += f"<br>and in {more:,} more" if more > 0 else ""
            name = self._code(one.case) if one.case else "(the suite as a whole)"
            rows.append((f"{code(one.column)} {name}", where, self._code(one.message)))
        yield table(("what", "where", "why"), tuple(rows))
        if len(cases) > _LISTED:
            yield f"<p>and {len(cases) - _LISTED:,} more in results.json</p>"

    def _unexpected(self) -> Iterator[str]:
        for gating, found in passed_by_gating(self._result.cells):
            sign = _sign(Verdict.XPASSED, gating=gating)
            idle = NOT_GATING * (not gating)
            yield f"<h3>{sign} passed, though a rule expects a failure{idle}</h3>"
            for one in found[:_LISTED]:
                name = f"<b>{self._code(one.case)}</b> " if one.case else ""
                yield f"<p>{name}{self._code(one.reason, 400)}<br>{self._ids(one.cells)}</p>"
            if len(found) > _LISTED:
                yield f"<p>and {len(found) - _LISTED:,} more in results.json</p>"
        needing = [c for c in self._result.cells if c.unmet and not c.not_gating]
        if needing and self._result.exit_code:
            yield f"<h3>{SIGNS[Verdict.FAILED]} not run: unmet needs</h3>"
            yield from self._by_reason(needing)

    def _grid(self) -> Iterator[str]:
        rows, columns, found = laid_out(self._plan, self._by_id)
        if not rows:
            return
        tallies = Counter((tolerated(cell), cell.verdict) for cell in found.values())
        legend = " &nbsp; ".join(
            f"{_sign(v, gating=not idle)} {tallies[idle, v]:,} {_outcome(v)}{NOT_GATING * idle}"
            for idle in (False, True)
            for v in (Verdict.PASSED, *WORST_FIRST[:-1])
            if tallies[idle, v]
        )
        if len(rows) <= _ROWS and len(columns) <= _COLUMNS:
            yield self._table(rows, columns, found)
            yield f"<p>{legend}</p>"
            return
        loud = {key for key, cell in found.items() if cell.verdict in BAD}
        if loud:
            some_rows = [row for row in rows if any(r == row for r, _ in loud)]
            some_columns = [column for column in columns if any(c == column for _, c in loud)]
            yield self._table(some_rows, some_columns, found)
            left_out = [
                f"{counted(len(every) - len(some), word)}"
                for every, some, word in (
                    (rows, some_rows, "distro"),
                    (columns, some_columns, "suite"),
                )
                if len(every) > len(some)
            ]
            alike = f"; not in the table: {' and '.join(left_out)} as expected" if left_out else ""
            yield f"<p>{legend}{alike}</p>"
        else:
            yield f"<p>{legend}</p>"
        yield details("the whole grid", self._table(rows, columns, found))

    def _ends(self, groups: tuple[Group, ...]) -> Iterator[str]:
        """The last lines of one cell of each suite in a group, and of each fault."""
        seen: set[str] = set()
        faults = (tuple(c.id for c in f.cells) for f in group_faults(self._result.cells))
        suites = (ids for group in groups for _, ids in group.by_column)
        for ids in (*suites, *faults):
            cell = next((self._by_id[i] for i in ids if self._by_id[i].tail), None)
            if cell is None or cell.id in seen:
                continue
            seen.add(cell.id)
            lines = tuple(self._mask(line) for line in cell.tail[-_TAIL:])
            yield details(f"the end of {code(told_by(cell))}", pre(lines))

    def _quiet(self) -> Iterator[str]:
        for verdict, title in (
            (Verdict.XFAILED, "failed as expected"),
            (Verdict.SKIPPED, "skipped"),
        ):
            red = bool(self._result.exit_code)
            cells = [c for c in self._result.cells if c.verdict is verdict]
            cells = [c for c in cells if not (c.unmet and red) or c.not_gating]
            if cells:
                body = "".join(self._by_reason(cells))
                yield details(f"{SIGNS[verdict]} {counted(len(cells), 'cell')} {title}", body)

    def _not_gating(self) -> Iterator[str]:
        """Why those that are bad do not count."""
        if cells := [cell for cell in self._result.cells if tolerated(cell)]:
            body = "".join(self._by_reason(replace(c, reason=c.not_gating) for c in cells))
            yield details(f"{_UNCOUNTED} {counted(len(cells), 'cell')} not gating", body)

    def _slowest(self) -> Iterator[str]:
        cells = sorted(self._result.cells, key=lambda cell: -cell.seconds)[:_SLOWEST]
        rows = tuple((code(c.id), duration(c.seconds)) for c in cells if c.seconds > 0)
        if len(rows) > 1:
            yield details("slowest cells", table(("cell", "time"), rows))

    def _closing(self) -> Iterator[str]:
        if self._cut:
            yield (
                "<p>⚠️ This summary was cut at GitHub's limit of 1 MiB. The run's "
                "<code>junit.xml</code> and <code>results.json</code> are complete.</p>"
            )
        count = counted(len(self._result.cells), "cell")
        took = f"{count}{repeated(self._plan.repeat)} in {duration(self._result.seconds)}"
        seed = f", seed {self._plan.seed}" if self._plan.seed is not None else ""
        yield f"<p><sub>run {code(self._result.run, 60)}: {took}{seed}</sub></p>"

    # --- parts of parts --------------------------------------------------------------------

    def _group(self, group: Group) -> str:
        only = group.failures[0] if len(group.failures) == 1 else None
        shown = "".join(
            f"<li>{self._failure(one, named=one is only)}</li>" for one in group.failures[:_SHOWN]
        )
        rest = group.failures[_SHOWN:_LISTED]
        more = ""
        if rest:
            lines = "".join(f"<li>{self._name(one)}</li>" for one in rest)
            beyond = len(group.failures) - _LISTED
            if beyond > 0:
                lines += f"<li>and {beyond:,} more in <code>junit.xml</code></li>"
            number = len(group.failures) - _SHOWN
            more = details(f"{number:,} more", f"<ul>{lines}</ul>")
        more += "".join(
            f"<p>differs here: {self._code(text, 300)}</p>"
            for text in in_short(self._reasons.get(group, ()))
        )
        more += "".join(
            f"<p>hint: {self._code(hint, 300)}</p>"
            for hint in hints_of(group.failures, self._plan, self._result.cells)
        )
        since = since_lines(group, self._earlier)
        more += "".join(f"<p>history: {self._code(line, 300)}</p>" for line in since)
        said = escape(one_line(group.label, 300))
        if only is None:
            said += f": {len(group.failures):,} failures"
        else:
            said = f"{self._code(only.case.name) if only.case else code(only.column)} {said}"
        title = f"<h3>{_sign(Verdict.FAILED, gating=group.gating)} {said}</h3>"
        again = pre((run_elsewhere(self._plan, group.cells),))
        return f"{title}<ul>{shown}</ul>{more}{again}"

    def _failure(self, failure: Failure, *, named: bool) -> str:
        whole = failure.case is None or named  # its title says which it is
        name = code(failure.column) if whole else self._name(failure)
        if len(failure.wordings) == 1:
            said = self._code(failure.wordings[0].text, 300) if failure.wordings[0].text else ""
            return f"{name}{' ' if whole else '<br>' * bool(said)}{said}"
        for one in failure.wordings[:WORDINGS]:
            name += f"<br>{self._code(one.text, 300)} in {self._ids(one.cells)}"
        more = len(failure.wordings) - WORDINGS
        return f"{name}<br>and in {more:,} other wordings" if more > 0 else name

    def _name(self, failure: Failure) -> str:
        if failure.case is None:
            return code(failure.column)
        where = f" (in {code(failure.case.engine, 40)})" if failure.case.engine else ""
        return f"{code(failure.column)} <b>{self._code(failure.case.name)}</b>{where}"

    def _in_short(self, group: Group) -> str:
        first = self._name(group.failures[0])
        more = len(group.failures) - 1
        beside = f" and {more:,} more" if more else ""
        return f"{escape(one_line(group.label, 200))}: {first}{beside}"

    def _by_reason(self, cells: Iterable[CellResult]) -> Iterator[str]:
        why = ((c.reason or (said_of_needs(c.needing) if c.needing else ""), c.id) for c in cells)
        found = by_reason((one_line(reason, 400), cell) for reason, cell in why)
        for reason, ids in list(found.items())[:_LISTED]:
            yield f"<p>{self._code(reason, 400)}<br>{self._ids(ids)}</p>"
        if len(found) > _LISTED:
            yield f"<p>and for {len(found) - _LISTED:,} more reasons, in results.json</p>"

    def _table(
        self, rows: list[str], columns: list[str], found: dict[tuple[str, str], CellResult]
    ) -> str:
        return table(
            ("", *(code(column) for column in columns)),
            tuple(
                (f"{code(row)}", *(_cell(found.get((row, column))) for column in columns))
                for row in rows
            ),
        )

    def _ids(self, ids: tuple[str, ...]) -> str:
        return some_of([code(one) for one in ids], _CELLS)

    def _code(self, text: str, length: int = 200) -> str:
        return code(self._mask(text), length)


def _sign(verdict: Verdict, *, gating: bool) -> str:
    return SIGNS[verdict] if gating else _UNCOUNTED


def _outcome(verdict: Verdict) -> str:
    return _WORDS.get(verdict, str(verdict))


def _cell(result: CellResult | None) -> str:
    if result is None:
        return ""
    part, where = beside(result)
    return " ".join(
        filter(
            None,
            (
                _sign(result.verdict, gating=not tolerated(result)),
                part,
                f"<sub>{escape(one_line(where))}</sub>" * bool(where),
            ),
        )
    )
