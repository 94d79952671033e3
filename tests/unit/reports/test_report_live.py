"""What is seen of a run while it runs."""

import io
import re
import threading

from live_world import drawn, plain, started
from report_samples import failed, result
from rich.console import Console

from distromatrix.model import CaseCounts, Phase, Verdict
from distromatrix.record.events import (
    CellFallback,
    CellFinished,
    CellOutput,
    CellPhase,
    CellProgress,
    CellSilent,
    CellStarted,
    Event,
    ImageProgress,
    RepeatFinished,
    RunStarted,
    Warned,
)
from distromatrix.reports.terminal.board import Board
from distromatrix.reports.terminal.live import live_report
from distromatrix.reports.terminal.plain import Plain


def test_plain_lines_tell_each_result_and_the_end_of_what_failed() -> None:
    text = plain(
        started("debian-11/unit", "debian-12/unit"),
        Warned(text="old \x1b"),
        CellStarted(cell="debian-11/unit"),
        CellOutput(cell="debian-11/unit", line="never shown"),
        CellFinished(result=result("debian-12/unit", seconds=1.0, tail=("never shown",))),
        CellFinished(result=failed("debian-11/unit", "a", seconds=3.2, tail=("x", "y" * 200))),
    )
    assert text.split("\n") == [
        "2 cells, 2 at a time, on Fake 1 (API 1)",
        "warning: old \\x1b",
        "[1/2] ✓ passed   debian-12/unit   1.0 s  no report",
        "[2/2] ✗ failed   debian-11/unit   3.2 s  1 of 9 cases failed",
        "    │ x",
        "    │ " + "y" * 200,
        "",
    ]


def test_plain_lines_say_how_many_cases_passed_and_what_may_mend_a_failure() -> None:
    counts = CaseCounts(passed=1200, skipped=3)
    text = plain(
        started("a/b", "a/c"),
        CellFinished(result=result("a/b", seconds=1.0, cases=counts)),
        CellFinished(result=failed("a/c", seconds=1.0, tail=("x",), hints=("y: packages: [y]",))),
    )
    assert "passed   a/b   1.0 s  1,200 cases, 3 skipped\n" in text
    assert text.endswith("    │ x\n    hint: y: packages: [y]\n")


def test_plain_lines_do_not_count_what_never_ran() -> None:
    text = plain(started("a/b"), CellFinished(result=result("c/d", Verdict.SKIPPED)))
    assert text.count("\n") == 1


def test_plain_lines_about_one_image_do_not_flood_the_log() -> None:
    said = [f"pulling x: {n} %" for n in range(100)] + ["bootstrapping y", "ready in 12 s"]
    text = plain(*(ImageProgress(distro="debian-12", text=one) for one in said))
    told = ("pulling x: 0 %", "bootstrapping y", "ready in 12 s")
    assert text.split("\n") == [*(f"image debian-12: {one}" for one in told), ""]


def test_blocks_of_several_threads_do_not_mix() -> None:
    out = io.StringIO()
    cells = [f"d/{n:03}" for n in range(200)]
    with Plain(Console(file=out, width=80)) as report:
        report(started(*cells))

        def finish(mine: list[str]) -> None:
            for cell in mine:
                report(CellFinished(result=failed(cell, tail=(f"of {cell}",) * 5)))

        threads = [threading.Thread(target=finish, args=(cells[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = out.getvalue().split("\n")[1:-1]
    assert len(lines) == 1200
    for at in range(0, len(lines), 6):
        cells_named = {re.search(r"d/\d{3}", line)[0] for line in lines[at : at + 6]}
        assert len(cells_named) == 1


def test_the_board_shows_what_runs_its_last_line_and_how_far_all_is(screen: Console) -> None:
    now = 0.0
    board = Board(screen, clock=lambda: now)
    board(started("debian-11/unit", "debian-12/unit", "alpine-3.20/unit"))
    board(ImageProgress(distro="alpine-3.20", text="loading the archive"))
    board(CellFinished(result=result("debian-12/unit")))
    board(CellStarted(cell="debian-11/unit"))
    board(CellPhase(cell="debian-11/unit", phase=Phase.SETUP))
    board(CellOutput(cell="debian-11/unit", line="[bold]Collecting\x1b numpy"))
    now = 62.0
    text = "\n".join(drawn(board, screen))
    assert "1 of 3  1 min 02 s" in text
    assert "✓ 1 passed  1 running  1 waiting" in text
    assert "alpine-3.20     image  1 min 02 s  loading the archive" in text
    assert "debian-11/unit  setup  1 min 02 s  [bold]Collecting\\x1b numpy" in text


def test_a_cell_whose_machine_is_only_being_opened_is_not_running_yet(screen: Console) -> None:
    board = Board(screen)
    board(started("d/one", "d/two", "d/three"))
    board(CellStarted(cell="d/one"))
    board(CellPhase(cell="d/one", phase=Phase.RUN))
    board(CellStarted(cell="d/two"))
    assert "1 running  1 starting  1 waiting" in "\n".join(drawn(board, screen))


def test_on_a_narrow_screen_names_stay_and_lines_of_output_give_way() -> None:
    screen = Console(
        file=io.StringIO(), width=46, height=12, force_terminal=True, color_system=None
    )
    board = Board(screen)
    board(started("debian-testing/core"))
    board(CellStarted(cell="debian-testing/core"))
    board(CellPhase(cell="debian-testing/core", phase=Phase.RUN))
    board(CellOutput(cell="debian-testing/core", line="y" * 500))
    row = next(line for line in drawn(board, screen) if "debian" in line)
    assert row.startswith("debian-testing/core  run  ")
    assert row.endswith("y…")


def test_the_board_forgets_what_is_done(screen: Console) -> None:
    board = Board(screen)
    board(started("debian-11/unit", "debian-12/unit"))
    board(ImageProgress(distro="debian-11", text="pulling"))
    board(ImageProgress(distro="debian-12", text="pulling"))
    board(CellStarted(cell="debian-11/unit"))
    board(CellFinished(result=result("debian-11/unit")))
    board(CellFinished(result=result("debian-12/unit", Verdict.ERROR)))
    assert not any("debian-1" in line for line in drawn(board, screen))


def test_the_board_is_never_higher_or_wider_than_the_screen(screen: Console) -> None:
    board = Board(screen)
    cells = [f"debian-{n}/a-suite-with-a-long-name-of-its-own/variant" for n in range(1000)]
    board(started(*cells))
    for cell in cells:
        board(CellStarted(cell=cell))
        board(CellOutput(cell=cell, line="y" * 500))
    lines = drawn(board, screen)
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 80
    assert "and 994 more" in "".join(lines)


def test_bad_news_scrolls_by_above_the_board_and_nothing_of_it_stays(screen: Console) -> None:
    with Board(screen) as board:
        board(started("debian-11/unit"))
        board(CellFinished(result=failed("debian-11/unit", reason="exit status 2")))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "✗ failed   debian-11/unit" in text
    assert "exit status 2" in text


def test_without_a_terminal_there_are_plain_lines() -> None:
    assert isinstance(live_report(Console(file=io.StringIO(), force_terminal=True)), Plain)


def silent(seconds: float, line: str = "", command: str = "") -> CellSilent:
    return CellSilent(cell="debian-11/unit", seconds=seconds, line=line, command=command)


def test_a_silent_cell_is_told_of_at_growing_intervals_until_it_prints_again() -> None:
    chatter = [silent(60.0 + 10 * n, "compiling\x1b", "make -j2 (for 01:00)") for n in range(60)]
    text = plain(*chatter)
    assert text.split("\n") == [
        f"silent debian-11/unit for {after}, running: make -j2 (for 01:00)"
        "; the last line: compiling\\x1b"
        for after in ("1 min 00 s", "2 min 00 s", "4 min 00 s", "8 min 00 s")
    ] + [""]
    again = plain(silent(60.0), CellOutput(cell="debian-11/unit", line="x"), silent(61.0))
    assert again.count("\n") == 2


def test_the_board_shows_since_when_a_cell_is_silent_what_runs_and_its_last_line(
    screen: Console,
) -> None:
    now = 0.0
    board = Board(screen, clock=lambda: now)
    board(started("debian-11/unit"))
    board(CellStarted(cell="debian-11/unit"))
    board(CellPhase(cell="debian-11/unit", phase=Phase.RUN))
    now = 100.0
    board(silent(60.0, "collected 9 items", "pytest -q"))
    now = 170.0
    lines = drawn(board, screen)
    at = next(n for n, line in enumerate(lines) if "silent for 2 min 10 s" in line)
    assert "running: pytest -q" in lines[at]
    assert lines[at + 1].strip() == "collected 9 items"
    board(CellOutput(cell="debian-11/unit", line="."))
    assert "silent" not in "\n".join(drawn(board, screen))


def test_the_board_of_silent_cells_is_not_higher_than_the_screen(screen: Console) -> None:
    board = Board(screen)
    cells = [f"d/{n}" for n in range(9)]
    board(started(*cells))
    for cell in cells:
        board(CellStarted(cell=cell))
        board(CellSilent(cell=cell, seconds=60.0, line="last", command="make"))
    lines = drawn(board, screen)
    assert len(lines) <= 12
    assert "and 6 more" in "".join(lines)


def repeated_run(*cells: str) -> RunStarted:
    return RunStarted(run="r", cells=cells, jobs=2, engine="Fake 1", repeat=3, seed=42)


def test_plain_lines_tell_each_run_of_a_repeated_cell_and_what_kept_it_from_the_others() -> None:
    text = plain(
        repeated_run("debian-11/unit", "debian-12/unit"),
        RepeatFinished(result=result("debian-12/unit", seconds=1.0), repeat=2),
        RepeatFinished(result=failed("debian-12/unit", seconds=1.0, tail=("x",)), repeat=1),
        RepeatFinished(result=result("debian-12/unit", seconds=1.0), repeat=3),
        CellFinished(result=failed("debian-12/unit", tail=("never shown again",))),
        CellFinished(result=result("debian-11/unit", Verdict.ERROR, reason="no image")),
    )
    assert text.split("\n") == [
        "2 cells x 3 runs, 2 at a time, on Fake 1, shuffled by 42",
        "[1/6] ✓ passed   debian-12/unit 2/3   1.0 s  no report",
        "[2/6] ✗ failed   debian-12/unit 1/3   1.0 s  exit status 1",
        "    │ x",
        "[3/6] ✓ passed   debian-12/unit 3/3   1.0 s  no report",
        "[6/6] ! error    debian-11/unit       0.0 s  no image",
        "",
    ]


def test_the_board_has_a_row_for_each_run_of_a_cell(screen: Console) -> None:
    board = Board(screen)
    board(repeated_run("debian-11/unit"))
    for number in (1, 2):
        board(CellStarted(cell="debian-11/unit", repeat=number))
        board(CellPhase(cell="debian-11/unit", repeat=number, phase=Phase.RUN))
        board(CellOutput(cell="debian-11/unit", repeat=number, line=f"line {number}"))
    board(CellSilent(cell="debian-11/unit", repeat=2, seconds=70.0, line="line 2"))
    text = "\n".join(drawn(board, screen))
    assert re.search(r"debian-11/unit 1/3  run .* line 1", text)
    assert re.search(r"debian-11/unit 2/3  run .* silent for 1 min 10 s", text)
    board(RepeatFinished(result=result("debian-11/unit"), repeat=1))
    text = "\n".join(drawn(board, screen))
    assert "1/3" not in text
    assert "1 of 3" in text
    assert "✓ 1 passed  1 running  1 waiting" in text


def on_board(*events: Event) -> str:
    """What the board shows after these."""
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    board = Board(console)
    for event in events:
        board(event)
    with console.capture() as seen:
        console.print(board.render())
    return seen.get()


def test_cases_that_run_again_in_a_guest_are_told_while_they_do() -> None:
    again = CellFallback(cell="a/b", engine="qemu", cases=2, reason="needs reboot")
    text = plain(started("a/b"), CellStarted(cell="a/b"), again)
    assert "guest a/b: 2 cases again in qemu: needs reboot\n" in text
    seen = on_board(started("a/b"), CellStarted(cell="a/b"), again)
    assert re.search(r"a/b \(qemu\) +start +.* 2 cases again in qemu: needs", seen)


def test_what_a_guest_waits_for_is_told_while_it_does() -> None:
    boots = CellProgress(cell="a/b", text="booting it under emulation")
    assert "guest a/b: booting it under emulation\n" in plain(started("a/b"), boots)
    seen = on_board(started("a/b"), CellStarted(cell="a/b"), boots)
    assert re.search(r"a/b +start +.* booting it under emulation", seen)


# --- how long it will take ---------------------------------------------------------------------
