"""The journal is the truth about a run, even after `kill -9`."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import failed, make_plan, result

from distromatrix.errors import InfrastructureError
from distromatrix.model import (
    Case,
    CaseCounts,
    CellResult,
    CellRun,
    Flaky,
    ImageUsed,
    Kept,
    Phase,
    RunResult,
    Verdict,
)
from distromatrix.record import events, journal
from distromatrix.record.events import (
    CellFinished,
    CellOutput,
    CellSilent,
    RepeatFinished,
    RunFinished,
    RunStarted,
    Warned,
)
from distromatrix.record.journal import Journal
from distromatrix.reports.replay import finished, repeated, replay, warnings

CELLS = ("debian-12/unit", "alpine-3.20/unit")
START = RunStarted(run="r1", cells=CELLS, jobs=2, engine="fake", time=100.0)
FULL = failed(
    "debian-12/unit",
    "a",
    image=ImageUsed(source="pull", id="sha256:1"),
    tail=("last é \\x1b", "line"),
    kept=Kept(name="n", enter="e", remove="r"),
    attempts=2,
    seconds=1.5,
)


SECONDS = st.floats(0, 1e10)
CASES = st.builds(
    Case,
    name=st.text(),
    status=st.sampled_from(("failed", "error")),
    seconds=SECONDS,
    message=st.text(),
    text=st.text(),
)
RESULTS = st.builds(
    CellResult,
    verdict=st.sampled_from(Verdict),
    phase=st.none() | st.sampled_from(Phase),
    seconds=SECONDS,
    reason=st.text(),
    image=st.none() | st.builds(ImageUsed),
    cases=st.none() | st.builds(CaseCounts, passed=st.integers(0)),
    failing=st.lists(CASES, max_size=3).map(tuple),
    tail=st.lists(st.text(), max_size=3).map(tuple),
    kept=st.none() | st.builds(Kept),
    runs=st.lists(st.builds(CellRun, seconds=SECONDS), max_size=2).map(tuple),
    flaky=st.lists(st.builds(Flaky), max_size=2).map(tuple),
)
EVENTS = st.one_of(
    st.builds(RunStarted, time=SECONDS),
    st.builds(events.ImageProgress, time=SECONDS),
    st.builds(events.CellStarted, time=SECONDS),
    st.builds(events.CellPhase, time=SECONDS),
    st.builds(CellFinished, result=RESULTS, log=st.text(), time=SECONDS),
    st.builds(events.RepeatFinished, result=RESULTS, time=SECONDS),
    st.builds(Warned, time=SECONDS),
    st.builds(RunFinished, seconds=SECONDS, time=SECONDS),
)


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=4))
def test_every_event_comes_back_as_it_was(tmp_path_factory, happened: list[events.Event]) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with Journal(path) as write:
        for event in happened:
            write(event)
    assert list(journal.read(path)) == happened


def test_output_and_silence_are_for_the_live_board_alone(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as write:
        write(CellOutput(cell="a/b", line="x"))
        write(CellSilent(cell="a/b", seconds=60.0))
    assert (tmp_path / "j").read_bytes() == b""


def test_an_event_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    write = Journal(tmp_path / "j")
    write(CellFinished(result=FULL))
    (event,) = journal.read(tmp_path / "j")
    assert isinstance(event, CellFinished)
    assert event.result == FULL
    write.close()
    write.close()


def test_a_torn_line_is_left_out_and_a_resumed_run_goes_on_after_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as write:
        write(START)
        write(CellFinished(result=FULL))
    path.write_bytes(path.read_bytes()[:-40])
    assert list(journal.read(path)) == [START]
    with Journal(path) as write:
        write(Warned(text="resumed"))
    assert [e.type for e in journal.read(path)] == ["run-started", "warned"]


def test_what_a_newer_version_wrote_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "j").write_text('{"type":"new-thing"}\n{"type":"warned","text":"a","time":1}\n')
    assert list(journal.read(tmp_path / "j")) == [Warned(text="a", time=1)]


def test_lines_from_several_threads_stay_whole(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as write:
        event = Warned(text="x" * 20_000, time=1)
        threads = [
            threading.Thread(target=lambda: [write(event) for _ in range(20)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert list(journal.read(tmp_path / "j")) == [event] * 160


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    write = Journal(tmp_path / "j")
    os.dup2(os.open("/dev/full", os.O_WRONLY), write._fd)
    with pytest.raises(InfrastructureError, match="No space left"):
        write(START)


def end(**fields: object) -> RunFinished:
    return RunFinished(verdict="failed", exit_code=1, seconds=9.0, **fields)  # type: ignore[arg-type]


def run(*log: events.Event) -> RunResult:
    return replay(make_plan(*CELLS), log, Path("/runs/r1"))


def test_a_complete_run_is_replayed_as_it_was() -> None:
    other = result("alpine-3.20/unit")
    replayed = run(START, CellFinished(result=other), CellFinished(result=FULL), end())
    assert replayed == RunResult(
        run="r1",
        folder=Path("/runs/r1"),
        verdict=Verdict.FAILED,
        exit_code=1,
        cells=(FULL, other),
        seconds=9.0,
    )


def test_a_killed_run_is_never_green() -> None:
    replayed = run(START, CellFinished(result=result("debian-12/unit"), time=104.0))
    assert (replayed.verdict, replayed.exit_code) == (Verdict.ERROR, 69)
    assert (replayed.interrupted, replayed.seconds) == ("killed", 4.0)
    assert replayed.cells[1].verdict is Verdict.SKIPPED
    assert replayed.cells[1].reason.startswith("not run")


def test_a_resumed_run_adds_up_and_the_last_verdict_counts() -> None:
    again = replace(START, time=500.0, cells=CELLS[1:])
    first = CellFinished(result=FULL, time=103.0)
    later = CellFinished(result=result("debian-12/unit"), time=501.0)
    second = CellFinished(result=result("alpine-3.20/unit"), time=502.0)
    replayed = run(START, first, again, later, second, end())
    assert [c.verdict for c in replayed.cells] == [Verdict.PASSED] * 2
    assert (replayed.seconds, replayed.interrupted) == (12.0, "")


def test_a_run_that_goes_on_again_has_not_ended() -> None:
    assert run(START, end(interrupted="SIGINT")).interrupted == "SIGINT"
    assert run(START, end(interrupted="SIGINT"), replace(START, time=500.0)).exit_code == 69


def test_a_resumed_run_need_not_repeat_what_has_a_verdict(tmp_path: Path) -> None:
    assert finished(tmp_path / "j") == ()
    with Journal(tmp_path / "j") as write:
        write(CellFinished(result=FULL))
        write(CellFinished(result=result("alpine-3.20/unit", Verdict.SKIPPED, reason="not run")))
    assert finished(tmp_path / "j") == (FULL,)


def test_warnings_are_told_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as write:
        for text in ("a", "b", "a"):
            write(Warned(text=text))
    assert warnings(tmp_path) == ("a", "b")


def test_nested_results_keep_their_types(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as write:
        write(CellFinished(result=FULL))
    (event,) = journal.read(tmp_path / "j")
    assert isinstance(event, CellFinished)
    got = event.result
    assert isinstance(got.verdict, Verdict)
    assert isinstance(got.phase, Phase)
    assert isinstance(got.cases, CaseCounts)
    assert isinstance(got.failing[0], Case)


def repeat(number: int, one: CellResult) -> RepeatFinished:
    return RepeatFinished(result=one, repeat=number)


def test_a_killed_run_shows_the_runs_that_its_cells_had() -> None:
    plan = replace(make_plan(*CELLS), repeat=3)
    green = result("debian-12/unit")
    first, second = replay(plan, [START, repeat(1, FULL), repeat(2, green)], Path("/runs/r1")).cells
    assert [run.repeat for run in first.runs] == [1, 2]
    assert first.verdict is Verdict.FAILED
    assert "in 1 of 3 runs" in first.reason and "2 of 3 runs were made" in first.reason
    assert (second.verdict, second.runs) == (Verdict.SKIPPED, ())


def test_a_resumed_run_makes_the_runs_that_are_missing(tmp_path: Path) -> None:
    runs = tuple(CellRun(repeat=n, verdict=Verdict.PASSED) for n in (1, 2))
    whole, cut = result("a/whole", runs=runs), result("a/cut", runs=runs[:1])
    with Journal(tmp_path / "j") as write:
        for number in (1, 2):
            write(repeat(number, result("a/whole")))
        write(CellFinished(result=whole))
        write(repeat(1, result("a/cut")))
        write(CellFinished(result=cut))
    assert finished(tmp_path / "j", 2) == (whole,)
    assert [(n, r.id) for n, r in repeated(tmp_path / "j")] == [
        (1, "a/whole"),
        (2, "a/whole"),
        (1, "a/cut"),
    ]


def test_a_journal_from_before_there_were_repeats_is_still_read(tmp_path: Path) -> None:
    old = (
        '{"run":"r1","cells":["debian-12/unit"],"jobs":2,"engine":"fake","command":"","time":1.0,'
        '"type":"run-started"}\n'
        '{"cell":"debian-12/unit","attempt":1,"time":2.0,"type":"cell-started"}\n'
        '{"result":{"id":"debian-12/unit","verdict":"passed","phase":null,"engine":"fake",'
        '"seconds":1.0,"reason":"","image":null,"cases":null,"failing":[],"tail":[],"attempts":1,'
        '"kept":null,"unmet":false},"log":"","time":3.0,"type":"cell-finished"}\n'
    )
    (tmp_path / "j").write_text(old)
    assert [e.type for e in journal.read(tmp_path / "j")] == [
        "run-started",
        "cell-started",
        "cell-finished",
    ]
    assert [r.id for r in finished(tmp_path / "j")] == ["debian-12/unit"]
