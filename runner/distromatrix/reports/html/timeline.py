"""Where the time of a run went: what each cell did when, in lanes beside each other."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite

from distromatrix.model import Phase, Verdict
from distromatrix.record.events import (
    CellFinished,
    CellPhase,
    CellProgress,
    CellStarted,
    Event,
    ImageProgress,
    RepeatFinished,
    RunStarted,
)
from distromatrix.reports.style import duration

KINDS = ("waiting", "image", "setup", "run")
WIDTH = 1000.0
_LANE = 22
_LEFT = 4.0
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_BARS = 6000
_MOST_LANES = 64
_THINNEST = 0.4  # of WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What was done for `what` (a cell's run, or a distro's image) from `start` to `end`, in
    seconds since the epoch."""

    what: str
    kind: str
    start: float
    end: float
    verdict: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A span as it is drawn."""

    x: float
    y: int
    width: float
    look: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The picture; `totals`: the seconds of each kind, `verdicts`: those of runs that did not pass,
    which have colours of their own; `ticks`: places and words of the axis."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    height: int
    lanes: int
    totals: tuple[tuple[str, float], ...]
    verdicts: tuple[str, ...]
    left_out: int


def timeline_of(events: Iterable[Event]) -> Timeline | None:
    """The timeline that a journal tells; None where it tells of no cell."""
    works = _works(events)
    spans = [span for work in works for span in work]
    if not spans:
        return None
    begin, end = min(s.start for s in spans), max(s.end for s in spans)
    scale = (WIDTH - 2 * _LEFT) / max(end - begin, 0.001)
    bars: list[Bar] = []
    lanes = left_out = 0
    for lane, work in _placed(works):
        for span in work:
            width = (span.end - span.start) * scale
            if lane >= _MOST_LANES or width < _THINNEST or len(bars) >= _MOST_BARS:
                left_out += 1
                continue
            lanes = max(lanes, lane + 1)
            took = duration(span.end - span.start)
            bars.append(
                Bar(
                    x=round(_LEFT + (span.start - begin) * scale, 2),
                    y=lane * _LANE,
                    width=round(width, 2),
                    look=f"{span.kind} {span.verdict}".strip(),
                    title=f"{span.what}: {span.kind} {took}",
                )
            )
    totals = {kind: sum(s.end - s.start for s in spans if s.kind == kind) for kind in KINDS}
    return Timeline(
        bars=tuple(bars),
        ticks=_ticks(end - begin, scale),
        height=lanes * _LANE,
        lanes=lanes,
        totals=tuple((kind, seconds) for kind, seconds in totals.items() if seconds >= 0.05),
        verdicts=tuple(sorted({span.verdict for span in spans} - {"", str(Verdict.PASSED)})),
        left_out=left_out,
    )


def began(events: Iterable[Event]) -> RunStarted | None:
    """The first beginning of the run."""
    return next((e for e in events if isinstance(e, RunStarted)), None)


def _works(events: Iterable[Event]) -> list[list[Span]]:
    """What was done for each image and for each run of a cell, in the order of its beginning."""
    done: list[list[Span]] = []
    cells: dict[tuple[str, int], list[Span]] = {}
    images: dict[str, Span] = {}
    for event in events:
        if not isfinite(event.time):
            continue
        if isinstance(event, ImageProgress):
            first = images.pop(event.distro, None) or Span(
                what=event.distro, kind="image", start=event.time, end=event.time
            )
            if event.text.startswith("ready"):
                done.append([replace(first, end=max(event.time, first.start))])
            else:
                images[event.distro] = first
        elif isinstance(event, CellStarted):
            cells[event.cell, event.repeat] = [_span(event.cell, "waiting", event.time)]
        elif isinstance(event, CellPhase | CellProgress):
            work = cells.get((event.cell, event.repeat))
            if work is not None:
                _next(work, event)
        elif isinstance(event, CellFinished | RepeatFinished):
            repeat = event.repeat if isinstance(event, RepeatFinished) else 0
            work = cells.pop((event.result.id, repeat), None)
            if work is not None:
                _end(work, event.time)
                verdict = str(event.result.verdict)
                done.append([replace(s, verdict=verdict) if s.kind == "run" else s for s in work])
    done = [[span for span in work if span.end > span.start] for work in done]
    return sorted((work for work in done if work), key=lambda work: work[0].start)


def _span(cell: str, kind: str, time: float) -> Span:
    return Span(what=cell, kind=kind, start=time, end=time)


def _next(work: list[Span], event: CellPhase | CellProgress) -> None:
    """The cell does something else from now on."""
    kind = "setup"  # what is done for a guest belongs to its preparation
    if isinstance(event, CellPhase):
        kind = {Phase.SETUP: "setup", Phase.RUN: "run", Phase.COLLECT: "run"}.get(
            event.phase, "image"
        )
    elif work[-1].kind != "waiting":
        return
    if kind != work[-1].kind:
        _end(work, event.time)
        work.append(_span(event.cell, kind, event.time))


def _end(work: list[Span], time: float) -> None:
    work[-1] = replace(work[-1], end=max(time, work[-1].start))


def _placed(works: list[list[Span]]) -> list[tuple[int, list[Span]]]:
    """Each with the first lane that is free when it begins."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    placed, lanes = [], 0
    for work in works:
        while busy and busy[0][0] <= work[0].start + 0.001:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if not free:
            heapq.heappush(free, lanes)
            lanes += 1
        lane = heapq.heappop(free)
        heapq.heappush(busy, (work[-1].end, lane))
        placed.append((lane, work))
    return placed


def _ticks(seconds: float, scale: float) -> tuple[tuple[float, str], ...]:
    step = next((s for s in _STEPS if seconds / s <= 8), max(seconds / 8, 1))
    count = int(seconds / step) + 1
    said: dict[str, float] = defaultdict(float)
    for n in range(count):
        said[duration(n * step) if n else "0"] = round(_LEFT + n * step * scale, 2)
    return tuple((x, text) for text, x in said.items())
