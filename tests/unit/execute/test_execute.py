"""What the executor makes of cells that pass, fail, break, and of a run that ends early."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from executing import World, by_id, cell, later

from distromatrix.errors import EngineUnavailableError, ImageError, InfrastructureError
from distromatrix.execute import executor
from distromatrix.execute import heartbeat as pulse
from distromatrix.execute import workers as crew
from distromatrix.execute.executor import Executor
from distromatrix.model import CellResult, Expectation, Phase, Prepare, Verdict
from distromatrix.record.events import CellFinished, CellPhase, CellStarted, Event
from fake_engine.engine import FakeEngine
from fake_engine.machine import FakeMachine


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_cells_get_their_verdicts_and_nothing_stays_on_the_engine(world: World) -> None:
    result = world.execute(
        cell("a/good", "cat hello"),
        cell("a/bad", "exit 3"),
        cell("b/known", "exit 1", expect_fail=(Expectation(reason="a bug"),)),
        cell("b/mended", expect_fail=(Expectation(reason="a bug"),)),
    )
    verdicts = {r.id: r.verdict for r in result.cells}
    assert verdicts == {
        "a/good": Verdict.PASSED,
        "a/bad": Verdict.FAILED,
        "b/known": Verdict.XFAILED,
        "b/mended": Verdict.XPASSED,
    }
    assert result.exit_code == 1
    assert (world.run / "cells/a/good/log.txt").read_text() == "hello\n"
    assert world.left() == []


def test_an_infrastructure_fault_is_tried_again_and_said(world: World) -> None:
    world.faults(gone={"a/*": 1})
    result = world.execute(cell("a/s", "sleep 0.3"), retries=1)
    assert (result.cells[0].verdict, result.cells[0].attempts) == (Verdict.PASSED, 2)
    assert result.exit_code == 0


def test_a_fault_that_stays_is_an_error_and_keeps_the_output(world: World) -> None:
    world.faults(gone={"a/*": 0})
    result = world.execute(cell("a/s", "echo so far; sleep 9"), retries=2)
    assert (result.cells[0].verdict, result.cells[0].attempts) == (Verdict.ERROR, 3)
    assert result.cells[0].tail == ("so far",)
    assert result.exit_code == 69
    assert world.left() == []


def test_a_failure_of_the_product_is_never_tried_again(world: World, tmp_path: Path) -> None:
    result = world.execute(cell("a/s", f"echo once >>{tmp_path}/count; exit 1"), retries=5)
    assert result.cells[0].verdict is Verdict.FAILED
    assert (tmp_path / "count").read_text() == "once\n"


def test_a_machine_that_cannot_start_is_not_tried_again(world: World) -> None:
    world.faults(cannot_start={"a/*": 0})
    result = world.execute(cell("a/s"), cell("b/s"), retries=3)
    first = by_id(result)["a/s"]
    assert (first.verdict, first.phase, first.attempts) == (Verdict.ERROR, Phase.IMAGE, 1)
    assert "no /bin/sh" in first.reason
    assert by_id(result)["b/s"].verdict is Verdict.PASSED


def test_out_of_memory_is_the_suites_failure_and_names_the_limit(world: World) -> None:
    world.faults(oom={"a/*": 0})
    result = world.execute(cell("a/s", "sleep 9", memory=64 * 2**20), retries=3)
    found = result.cells[0]
    assert (found.verdict, found.attempts) == (Verdict.FAILED, 1)
    assert "64 MiB" in found.reason


def test_an_image_that_fails_is_the_error_of_all_cells_that_need_it(world: World) -> None:
    world.images.faults["a"] = ImageError("no package x", phase="packages", log="E: x\nE: y\n")
    result = world.execute(cell("a/one"), cell("a/two"), cell("b/one"))
    for name in ("a/one", "a/two"):
        found = by_id(result)[name]
        assert (found.verdict, found.phase) == (Verdict.ERROR, Phase.PACKAGES)
        assert (found.reason, found.tail) == ("no package x", ("E: x", "E: y"))
        assert (world.run / f"cells/{name}/log.txt").read_text() == "E: x\nE: y\n"
    assert by_id(result)["b/one"].verdict is Verdict.PASSED
    assert len([i for i in world.images.asked if i.startswith("a/")]) == 1


MATRIX = """\
distros: [a]
defaults:
  packages: [make]
suites:
  one: {run: x, packages: [git, nosuch]}
  two: {run: x}
variants:
  v: {packages: [x, y, nosuch]}
rules:
  - {distro: a, skip: z}
  - {distro: a, packages: [nosuch]}
"""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (MATRIX, "5:33"),
        (MATRIX.replace("git, nosuch", "git"), "8:24"),
        (MATRIX.replace("git, nosuch", "git").replace("y, nosuch", "y"), "11:28"),
        (MATRIX.replace("nosuch", "some"), "3:14"),  # a common name
        ("suites: [", ""),
        ("", ""),
    ],
)
def test_a_package_that_does_not_exist_is_the_matrixs_fault_and_told_with_its_place(
    world: World, text: str, place: str
) -> None:
    file = world.folder / "matrix/default.yaml"
    file.parent.mkdir()
    file.write_text(text)
    said = "package 'nosuch' not found in a (apt)"
    world.images.faults["a"] = ImageError(said, phase="packages", absent=("nosuch",))
    world.common["make"] = ("some", "nosuch") if place == "3:14" else ("make",)
    result = world.execute(cell("a/one/v", suite="one", variant="v"))
    (found,) = result.cells
    assert (found.verdict, found.blame, result.exit_code) == (Verdict.ERROR, "matrix", 69)
    assert found.reason == (f"{file}:{place}: " if place else "") + said


def test_a_transient_image_fault_is_tried_again_and_said(world: World) -> None:
    world.images.faults["a"] = ImageError("mirror down", transient=True)
    result = world.execute(cell("a/one"), retries=2)
    assert by_id(result)["a/one"].attempts == 3
    assert world.images.asked == ["a/one"] * 3


def test_cells_whose_environment_goes_into_prepare_do_not_share_an_image(world: World) -> None:
    prepare = Prepare(run="install $WHAT")
    world.execute(
        cell("a/one", prepare=prepare, env={"WHAT": "1"}),
        cell("a/two", prepare=prepare, env={"WHAT": "2"}),
        cell("a/three", prepare=prepare, env={"WHAT": "2"}),
    )
    assert sorted(world.images.asked) == ["a/one", "a/two"]


def test_an_engine_that_goes_away_ends_the_run_in_errors(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "BACK_WITHIN", 0.2)

    def leave(event: Event, _: Executor) -> None:
        if isinstance(event, CellFinished):
            world.faults(unavailable=True)

    world.on_event = leave
    cells = [cell(f"a/{n}", "sleep 0.2") for n in range(8)]
    result = world.execute(*cells, jobs=1, retries=3)
    assert result.exit_code == 69
    errors = [r for r in result.cells if r.verdict is Verdict.ERROR]
    assert 4 <= len(errors) < 8
    assert all("the engine is gone" in r.reason for r in errors)


class FrozenEngine(FakeEngine):
    """Answers once, and then nothing at all."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.frozen = threading.Event()

    def ping(self) -> None:
        if self.frozen.is_set():
            time.sleep(3600)


def test_an_engine_that_falls_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "BEAT", 0.05)
    monkeypatch.setattr(executor, "SILENT_FOR", 0.5)
    engine = FrozenEngine(tmp_path / "engine")
    world = World(tmp_path, engine)
    world.on_event = lambda event, _: engine.frozen.set() if isinstance(event, CellPhase) else None
    result = world.execute(cell("a/long", "sleep 600"), cell("a/next", "sleep 600"), jobs=1)
    assert [r.verdict for r in result.cells] == [Verdict.ERROR, Verdict.ERROR]
    assert "has not answered" in result.cells[0].reason
    assert result.exit_code == 69


def test_a_short_absence_of_the_engine_is_waited_for(world: World) -> None:
    class Away:
        times = 2

    first = world.engine.open

    def open_(*args: object) -> object:
        if Away.times:
            Away.times -= 1
            raise EngineUnavailableError("restarting")
        return first(*args)  # type: ignore[arg-type]

    world.engine.open = open_  # type: ignore[method-assign, assignment]
    assert world.execute(cell("a/s"), retries=2).exit_code == 0


def test_what_a_resumed_run_has_done_is_not_done_again(world: World, tmp_path: Path) -> None:
    done = CellResult(id="a/one", verdict=Verdict.FAILED, reason="exit status 1")
    note = f"echo $DISTROMATRIX_CELL >>{tmp_path}/ran"
    result = world.execute(cell("a/one", note), cell("a/two", note), done=(done,))
    assert (tmp_path / "ran").read_text() == "a/two\n"
    assert by_id(result)["a/one"] == done
    assert result.exit_code == 1


def test_a_need_that_nothing_meets_makes_the_run_fail_unless_allowed(tmp_path: Path) -> None:
    unmet = cell("a/s", engine=None, verdict=Verdict.SKIPPED, unmet=True, reason="needs reboot")
    for allow, code in ((False, 1), (True, 0)):
        (tmp_path / str(code)).mkdir()
        result = World(tmp_path / str(code)).execute(unmet, cell("b/s"), allow_unmet=allow)
        assert (result.exit_code, result.cells[0].reason) == (code, "needs reboot")


def test_the_next_machine_is_opened_while_one_is_under_test(world: World) -> None:
    opened: list[str] = []
    first = world.engine.open

    def open_(spec, stage=None):  # type: ignore[no-untyped-def]
        machine = first(spec, stage)
        opened.append(spec.name)
        if len(opened) == 2:
            (world.folder / "two").touch()
        return machine

    world.engine.open = open_  # type: ignore[method-assign]
    until_two = (
        f"n=0; until [ -e {world.folder}/two ]; do n=$((n+1)); [ $n -lt 99 ]; sleep .1; done"
    )
    result = world.execute(cell("a/one", until_two), cell("a/two", until_two), jobs=1)
    assert result.exit_code == 0


def test_fail_fast_begins_no_more(world: World) -> None:
    result = world.execute(*(cell(f"a/{n}", "exit 1") for n in range(9)), jobs=1, fail_fast=True)
    skipped = [r for r in result.cells if r.verdict is Verdict.SKIPPED]
    assert len(skipped) >= 7
    assert "--fail-fast, after a/" in skipped[0].reason
    assert result.exit_code == 1
    assert world.left() == []


def test_fail_fast_waits_for_no_image_that_is_still_built(world: World) -> None:
    world.images.slow = {"b"}
    world.images.faults["b"] = ImageError("cancelled")
    result = world.execute(cell("a/bad", "exit 1"), cell("b/s"), fail_fast=True)
    assert by_id(result)["b/s"].verdict is Verdict.SKIPPED
    assert result.exit_code == 1


def interrupt_when(world: World, wanted: type[Event]) -> None:
    def on_event(event: Event, running: Executor) -> None:
        if isinstance(event, wanted):
            running.interrupt("SIGINT")

    world.on_event = on_event


def test_an_interruption_ends_what_runs_and_keeps_what_is_done(world: World) -> None:
    interrupt_when(world, CellFinished)
    result = world.execute(cell("a/one"), cell("a/two", "sleep 600"), jobs=2)
    assert [r.verdict for r in result.cells] == [Verdict.PASSED, Verdict.SKIPPED]
    assert (result.exit_code, result.interrupted) == (130, "SIGINT")
    assert (world.run / "snapshot.tar").exists()  # for --resume
    assert world.left() == []


def test_a_result_that_had_come_before_the_interruption_counts(world: World) -> None:
    def on_event(event: Event, running: Executor) -> None:
        if isinstance(event, CellFinished) and not running._state.interrupted:
            deadline = time.monotonic() + 10
            while running._messages.empty() and time.monotonic() < deadline:
                time.sleep(0.01)
            running.interrupt("SIGINT")

    world.on_event = on_event
    result = world.execute(cell("a/one"), cell("a/two"), jobs=2)
    assert [r.verdict for r in result.cells] == [Verdict.PASSED] * 2


def test_a_machine_that_was_being_opened_at_an_interruption_is_closed(world: World) -> None:
    world.faults(open_seconds=0.4)
    world.on_event = lambda event, running: (
        later(lambda: (time.sleep(0.1), running.interrupt("SIGTERM")))
        if isinstance(event, CellStarted)
        else None
    )
    result = world.execute(cell("a/one", "sleep 600"))
    assert result.exit_code == 143
    assert world.left() == []


def test_a_cell_that_waits_is_not_begun_after_an_interruption(world: World) -> None:
    interrupt_when(world, CellStarted)
    world.execute(*(cell(f"a/{n}", "sleep 600") for n in range(20)), jobs=1)
    started = [e for e in world.events if isinstance(e, CellStarted)]
    assert len(started) <= 2
    assert world.left() == []


def test_a_stage_that_was_being_made_at_an_interruption_is_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.engine.stage

    def stage(*args, **kwargs):  # type: ignore[no-untyped-def]
        world.executor.interrupt("SIGINT")
        time.sleep(0.3)
        return first(*args, **kwargs)

    world.engine.stage = stage  # type: ignore[method-assign]
    monkeypatch.setattr(crew, "SETTLE_WITHIN", 0.05)
    world.execute(cell("a/one"))
    assert world.left() == []


def test_image_builds_are_cancelled_by_an_interruption(world: World) -> None:
    world.images.slow = {"a"}
    world.images.faults["a"] = ImageError("cancelled")
    threading.Timer(0.2, lambda: world.executor.interrupt("SIGINT")).start()
    result = world.execute(cell("a/one"))
    assert world.images.cancelled.is_set()
    assert (result.exit_code, world.finished()) == (130, [])


def test_a_journal_that_cannot_be_written_ends_the_run_and_closes_the_machines(
    world: World,
) -> None:
    def full(event: Event, _: Executor) -> None:
        if isinstance(event, CellFinished):
            raise InfrastructureError("disk full", transient=False)

    world.on_event = full
    with pytest.raises(InfrastructureError, match="disk full"):
        world.execute(cell("a/one"), cell("a/two", "sleep 600"))
    assert world.left() == []


@pytest.mark.parametrize("stage", ["open", "run", "get", "close"])
def test_a_fault_of_our_own_is_its_cells_error_and_no_end_of_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def broken(machine: FakeMachine, *_: object, **__: object) -> None:
        raise ValueError("invalid literal for int()")

    kind = FakeEngine if stage == "open" else FakeMachine
    right = getattr(kind, stage)

    def sometimes(self: object, *given: object, **named: object) -> object:
        name = given[0].name if stage == "open" else self.name  # type: ignore[attr-defined]
        return (broken if "-a-" in name else right)(self, *given, **named)

    monkeypatch.setattr(kind, stage, sometimes)
    script = "echo it >$DISTROMATRIX_ARTIFACTS/left"
    result = by_id(world.execute(cell("a/s", script), cell("b/s", script), retries=3))
    assert result["b/s"].verdict is Verdict.PASSED
    if stage == "close":  # the next sweep finds the machine
        assert result["a/s"].verdict is Verdict.PASSED
        return
    assert result["a/s"].verdict is Verdict.ERROR
    assert result["a/s"].attempts == 1
    assert "a fault of distromatrix's own: ValueError: invalid literal" in result["a/s"].reason
    assert "in broken" in (world.run / "cells/a/s/fault.txt").read_text()
