"""What tests ask for, in the process that makes it and through its socket: on the fake engine."""

from __future__ import annotations

import signal
import threading
from time import monotonic, sleep

import pytest
from bench_world import World, said, until

from distromatrix.errors import (
    CellSkippedError,
    EngineUnavailableError,
    InfrastructureError,
    InputError,
    SetupFailedError,
)
from distromatrix.model import Verdict
from distromatrix.record import history
from distromatrix.reports.replay import read_run
from distromatrix.testing.contract import Bench, MachineRequest


def at_once(*calls: object) -> list[object]:
    """Call all of them in threads; what they give, or raise."""
    results: list[object] = [None] * len(calls)

    def one(number: int) -> None:
        try:
            results[number] = calls[number]()  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001
            results[number] = error

    threads = [threading.Thread(target=one, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_cells_run_when_they_are_asked_for_and_the_run_is_as_any_other(world: World) -> None:
    bench = world.bench()
    bench.expect(("one/good", "one/bad", "two/bad", "two/good"), machines=False)
    sleep(0.3)
    assert world.machines() == []  # nothing has been asked for
    reports = at_once(
        lambda: bench.run_cell("one/good", "gw0 a"), lambda: bench.run_cell("one/bad", "gw1 b")
    )
    assert [r.result.verdict for r in reports] == [Verdict.PASSED, Verdict.FAILED]  # type: ignore[attr-defined]
    assert (reports[1].folder / "log.txt").read_text() == "broken\n"  # type: ignore[attr-defined]
    assert reports[1].again == "distromatrix run one/bad"  # type: ignore[attr-defined]
    result = bench.end()
    assert result is not None
    assert {c.id: str(c.verdict) for c in result.cells} == {
        "one/good": "passed",
        "one/bad": "failed",
        "two/bad": "skipped",
        "two/good": "skipped",
    }
    assert bench.folder is not None
    assert (bench.folder / "results.json").exists()
    assert [c.id for c in read_run(bench.folder).cells if c.reason.startswith("pytest ended")] == [
        "two/bad"
    ]
    assert bench.end() is result


def test_what_cells_took_is_remembered_for_later_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = world.root.parent / "h.sqlite3"
    monkeypatch.setattr(history, "history_file", lambda root: file)
    bench = world.bench()
    bench.expect(("one/good", "one/bad", "two/bad"), machines=False)
    bench.run_cell("one/good", "gw0 a")
    bench.run_cell("one/bad", "gw0 b")
    bench.end()
    assert bench.warning == ""
    known = history.History(file, "matrix/default.yaml").durations()
    assert set(known.cells) == {"one/good", "one/bad"}
    file.write_bytes(b"no database")
    bench = world.bench()
    bench.run_cell("one/good", "gw0 a")
    bench.end()
    assert bench.warning.startswith(f"{file}: the history is damaged")


def test_machines_are_to_be_had_after_the_last_cell_has_ended(world: World) -> None:
    bench = world.bench()
    bench.expect(("one/bad",), machines=True)
    bench.run_cell("one/bad", "gw0 a")
    sleep(0.3)  # the run comes to its end
    assert bench.machine(MachineRequest(distro="one"), "gw0 b").name
    bench.end()


def test_a_cell_can_be_asked_for_through_the_socket(bench: Bench) -> None:
    bench.expect(("one/bad",), machines=False)
    assert bench.run_cell("one/bad", "gw0 a").result.reason == "exit status 3"
    with pytest.raises(InputError, match="one/nothing"):
        bench.run_cell("one/nothing", "gw0 a")


def test_an_interrupted_session_ends_what_runs(world: World) -> None:
    bench = world.bench()
    bench.expect(("one/slow",), machines=False)
    got: list[object] = []
    thread = threading.Thread(
        target=lambda: got.extend(at_once(lambda: bench.run_cell("one/slow", "main a")))
    )
    thread.start()
    until(lambda: world.machines() != [])
    began = monotonic()
    bench.interrupt()
    result = bench.end()
    thread.join(20)
    assert monotonic() - began < 20
    assert isinstance(got[0], InfrastructureError)
    assert result is not None
    assert result.cells[0].verdict is Verdict.SKIPPED


def test_a_cell_whose_worker_died_is_broken_off_at_the_end(world: World) -> None:
    bench = world.bench()
    bench.expect(("one/slow",), machines=False)
    thread = threading.Thread(target=lambda: at_once(lambda: bench.run_cell("one/slow", "gw0 a")))
    thread.start()
    until(lambda: world.machines() != [])
    bench.worker_gone("gw0")
    bench.end()
    thread.join(20)
    assert not thread.is_alive()


def test_a_cell_that_no_one_waits_for_any_more_is_broken_off_at_the_end(world: World) -> None:
    """Who waited for it in the main thread was interrupted there."""
    bench = world.bench()
    bench.expect(("one/slow",), machines=False)

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, leave)
    try:
        signal.alarm(2)
        with pytest.raises(KeyboardInterrupt):
            bench.run_cell("one/slow", "main a")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    began = monotonic()
    bench.end()
    assert monotonic() - began < 20


def test_all_share_one_machine_and_have_their_own_fresh_ones(world: World, bench: Bench) -> None:
    bench.expect((), machines=True)
    want = MachineRequest(distro="one")
    shared = at_once(*(lambda n=n: bench.machine(want, f"gw{n} t") for n in range(2)))
    assert len({a.name for a in shared}) == 1  # type: ignore[attr-defined]
    machine = world.engine.join(shared[0])  # type: ignore[arg-type]
    said(machine, "echo changed >here")
    fresh = bench.fresh(want, "gw0 t")
    other = world.engine.join(fresh)
    assert fresh.name != machine.name
    assert said(other, f"ls {other.address.id}") != said(machine, f"ls {machine.address.id}")
    bench.done("gw0 t")
    until(lambda: world.machines() == [machine.name])
    bench.done("gw1 t")
    assert said(machine, "echo on") == b"on\n"  # the shared one stays
    machine.close()
    other.close()


def test_a_machine_of_a_suite_has_the_product_its_environment_and_its_setup(
    world: World, bench: Bench
) -> None:
    bench.expect((), machines=True)
    machine = world.engine.join(bench.machine(MachineRequest(distro="one", suite="good"), "main t"))
    assert said(machine, f"cat {machine.product}/setup-done") == b"made\n"
    assert said(machine, 'echo "$FROM_MATRIX $DISTROMATRIX_CELL"') == b"here one/good\n"
    machine.close()
    bench.done("main t")


@pytest.mark.parametrize(
    ("want", "error", "match"),
    [
        (MachineRequest(distro="two", suite="good"), CellSkippedError, "not here"),
        (
            MachineRequest(distro="one", suite="none"),
            InputError,
            "one/none: the matrix has no such cell",
        ),
        (MachineRequest(distro="three"), InputError, "three: no such distro"),
        (MachineRequest(distro="one", suite="unfit"), SetupFailedError, r"exit status 4\n  oh no"),
    ],
)
def test_what_cannot_be_had_is_said_in_its_own_kind(
    bench: Bench, want: MachineRequest, error: type[Exception], match: str
) -> None:
    bench.expect((), machines=True)
    for _ in range(2):
        with pytest.raises(error, match=match):
            bench.machine(want, "main t")
    bench.done("main t")


def test_a_failure_to_make_a_machine_is_remembered(world: World, bench: Bench) -> None:
    world.faults(cannot_start={"one": 1})
    bench.expect((), machines=True)
    for number in (0, 2):
        tests = [f"gw{n} t" for n in (number, number + 1)]
        calls = [lambda t=t: bench.machine(MachineRequest(distro="one"), t) for t in tests]
        for got, test in zip(at_once(*calls), tests, strict=True):
            assert "no /bin/sh" in str(got)
            bench.done(test)
    assert bench.machine(MachineRequest(distro="two"), "gw0 t").name
    bench.done("gw0 t")


def test_an_engine_that_is_not_there_is_asked_once(world: World, bench: Bench) -> None:
    world.faults(unavailable=True)
    with pytest.raises(EngineUnavailableError, match="doctor"):
        bench.expect((), machines=True)
    world.faults()
    with pytest.raises(EngineUnavailableError):
        bench.expect(("one/good",), machines=False)
    bench.expect((), machines=False)  # what needs no engine goes on


def test_a_test_waits_for_its_place_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    bench = world.bench()
    bench.expect((), machines=True)
    want = MachineRequest(distro="one")
    bench.machine(want, "gw0 t")
    bench.fresh(want, "gw0 t")  # more of the same test: no wait
    waiting = threading.Thread(target=lambda: at_once(lambda: bench.machine(want, "gw1 t")))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    bench.worker_gone("gw0")
    waiting.join(20)
    assert not waiting.is_alive()
    until(lambda: len(world.machines()) == 1)
    bench.end()
