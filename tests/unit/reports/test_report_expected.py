"""How long a run will take, as it says while it runs."""

import re

import pytest
from live_world import drawn, plain, started
from report_samples import result
from rich.console import Console

from distromatrix.model import Phase, Verdict
from distromatrix.record.events import (
    CellFinished,
    CellPhase,
    CellStarted,
    RepeatFinished,
    RunStarted,
)
from distromatrix.reports.style import about
from distromatrix.reports.terminal.board import Board


def expecting(jobs: int = 2, repeat: int = 1, **seconds: float) -> RunStarted:
    cells = {name.replace("_", "/"): value for name, value in seconds.items()}
    return RunStarted(
        run="r", cells=tuple(cells), jobs=jobs, engine="Fake 1", expected=cells, repeat=repeat
    )


def test_the_first_line_says_how_long_all_will_take() -> None:
    text = plain(expecting(a_x=300.0, a_y=200.0, a_z=240.0))
    assert text == "3 cells, 2 at a time, about 7 min, on Fake 1\n"
    assert plain(started("a/b")) == "1 cell, 2 at a time, on Fake 1 (API 1)\n"
    text = plain(expecting(a_x=100.0, repeat=3))
    assert text == "1 cell x 3 runs, 2 at a time, about 3 min, on Fake 1\n"


class Watched:
    """A board, and a clock that is set."""

    def __init__(self, screen: Console, first: RunStarted) -> None:
        self.now = 0.0
        self.screen = screen
        self.board = Board(screen, clock=lambda: self.now)
        self.board(first)

    def left(self, now: float) -> str:
        self.now = now
        found = re.search(r"about (.*) left", "\n".join(drawn(self.board, self.screen)))
        return found[1] if found else ""

    def begin(self, cell: str, now: float) -> None:
        self.now = now
        self.board(CellStarted(cell=cell))
        self.board(CellPhase(cell=cell, phase=Phase.RUN))

    def end(self, cell: str, seconds: float, verdict: Verdict = Verdict.PASSED) -> None:
        self.board(CellFinished(result=result(cell, verdict, seconds=seconds)))


def test_the_board_says_how_much_time_is_left(screen: Console) -> None:
    seen = Watched(screen, expecting(a_x=600.0, a_y=300.0, b_y=300.0))
    assert seen.left(0) == "10 min"
    seen.begin("a/x", 0)
    seen.begin("a/y", 0)
    assert seen.left(60) == "9 min"
    assert seen.left(60.5) == "9 min"
    assert seen.left(310) == "5 min"  # what takes longer than it should is about to end
    seen.end("a/y", 310.0)
    seen.begin("b/y", 310)
    assert seen.left(320) == "5 min"
    assert seen.left(2000) == ""


def test_what_cells_take_today_makes_the_estimate_better(screen: Console) -> None:
    seen = Watched(screen, expecting(jobs=1, a_x=100.0, b_x=100.0, a_y=100.0, b_y=100.0))
    assert seen.left(0) == "7 min"
    seen.end("a/x", 300.0)
    assert seen.left(300) == "15 min"  # of no other suite anything else is known
    seen.end("a/y", 100.0)
    assert seen.left(400) == "7 min"  # 300 s for one, 100 s for the other
    seen.end("b/x", 1.0, Verdict.ERROR)  # which says nothing
    assert seen.left(401) == "2 min"


def test_a_first_run_learns_from_the_cells_that_have_ended(screen: Console) -> None:
    seen = Watched(screen, started("a/x", "b/x", "a/y", "b/y"))
    assert seen.left(0) == ""
    seen.end("a/x", 120.0)
    assert seen.left(120) == "4 min"
    seen.end("b/x", 120.0)
    seen.end("a/y", 20.0)
    assert seen.left(200) == "20 s"


def test_each_run_of_a_repeated_cell_is_reckoned_with(screen: Console) -> None:
    seen = Watched(screen, expecting(jobs=1, repeat=3, a_x=120.0))
    assert seen.left(0) == "6 min"
    seen.board(RepeatFinished(result=result("a/x", seconds=60.0), repeat=1))
    seen.board(CellStarted(cell="a/x", repeat=2))
    assert seen.left(60) == "2 min"  # whose machine is still being opened
    seen.board(CellPhase(cell="a/x", repeat=2, phase=Phase.RUN))
    assert seen.left(90) == "2 min"
    assert seen.left(120) == "1 min"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, "about 5 s"),
        (31, "about 30 s"),
        (57, "about 55 s"),
        (58, "about 1 min"),
        (3500, "about 58 min"),
        (3599, "about 1 h 00 min"),
        (90_000, "about 25 h 00 min"),
    ],
)
def test_what_is_only_expected_is_said_in_round_numbers(seconds: float, words: str) -> None:
    assert about(seconds) == words
