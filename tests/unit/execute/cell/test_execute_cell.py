"""One cell: its hooks, its time, its report and artifacts, and what is kept of it."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import pytest
from executing import World, cell

from distromatrix.engines.contract import LeftSignal, MachineSpec, Stage
from distromatrix.errors import MachineGoneError
from distromatrix.execute.cell import hooks
from distromatrix.execute.executor import Executor
from distromatrix.model import CellResult, Expectation, Phase, Verdict
from distromatrix.record.events import CellSilent, Event
from fake_engine.engine import FakeEngine
from fake_engine.machine import FakeMachine


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def log(world: World, result: CellResult) -> str:
    return (world.run / "cells" / result.id / "log.txt").read_text()


JUNIT = 'echo "<testsuite><testcase name=\\"a\\">%s</testcase></testsuite>" >$DISTROMATRIX_JUNIT'
RED = JUNIT % "<failure/>"
GREEN = JUNIT % ""


@pytest.mark.parametrize(
    ("run", "more"),
    [
        ("exit 3", {}),
        (RED, {}),  # though its exit status is 0
        (f"{RED}; exit 1", {}),
        (': "$DISTROMATRIX_JUNIT"', {}),  # promised and not there
        ("echo cut >$DISTROMATRIX_JUNIT", {}),
        ("rmdir $DISTROMATRIX_ARTIFACTS; ln -s / $DISTROMATRIX_ARTIFACTS", {}),
        ("true", {"setup": ("exit 4",)}),
    ],
)
def test_debug_runs_after_every_failure_and_then_restore(
    world: World, run: str, more: dict[str, object]
) -> None:
    scripts = {"debug": "echo debugging", "restore": "echo restoring"}
    bad = world.execute(cell("a/bad", f"echo testing; {run}", **scripts, **more)).cells[0]
    assert bad.verdict is Verdict.FAILED
    assert log(world, bad).endswith("--- debug\ndebugging\n--- restore\nrestoring\n")
    assert (bad.debug, bad.warnings) == (("debugging",), ())
    assert "debugging" not in "".join(bad.tail)  # the suite's own last lines stay the last


@pytest.mark.parametrize(
    ("run", "expect", "verdict"),
    [
        (GREEN, (), Verdict.PASSED),
        (RED, (Expectation(reason="a bug"),), Verdict.XFAILED),
        (GREEN, (Expectation(reason="a bug"),), Verdict.XPASSED),
    ],
)
def test_restore_alone_runs_where_nothing_unexpected_failed(
    world: World, run: str, expect: tuple[Expectation, ...], verdict: Verdict
) -> None:
    scripts = {"debug": "echo debugging", "restore": "echo restoring"}
    result = world.execute(cell("a/s", run, expect_fail=expect, **scripts)).cells[0]
    assert (result.verdict, result.debug) == (verdict, ())
    assert "debugging" not in log(world, result) and "restoring" in log(world, result)


def test_what_hooks_do_to_the_report_and_how_they_end_changes_no_verdict(world: World) -> None:
    bad = cell("a/bad", f"{RED}; exit 1", debug="rm $DISTROMATRIX_JUNIT; exit 9")
    good = cell("a/good", GREEN, restore=f"{RED}; kill -9 $$")
    one, two = world.execute(bad, good).cells
    assert (one.verdict, one.reason) == (Verdict.FAILED, "1 of 1 case failed")
    assert one.warnings == ("debug ended with exit status 9",)
    assert two.verdict is Verdict.PASSED
    assert two.warnings == ("restore ended with exit status 137",)
    assert two.cases is not None and two.cases.passed == 1
    assert b"failure" not in (world.run / "cells/a/good/junit.xml").read_bytes()


def test_artifacts_of_suite_and_hooks_come_back(world: World) -> None:
    leave = "echo {0} >$DISTROMATRIX_ARTIFACTS/{0}"
    scripts = {"debug": leave.format("debug"), "restore": leave.format("restore")}
    world.execute(
        cell("a/bad", leave.format("run") + "; exit 1", **scripts), cell("a/calm", **scripts)
    )
    came = {p.name for p in (world.run / "cells/a/bad/artifacts").iterdir()}
    assert came == {"run", "debug", "restore"}
    assert [p.name for p in (world.run / "cells/a/calm/artifacts").iterdir()] == ["restore"]


def test_hostile_artifacts_of_a_hook_are_a_warning(world: World) -> None:
    restore = "rmdir $DISTROMATRIX_ARTIFACTS; ln -s / $DISTROMATRIX_ARTIFACTS"
    result = world.execute(cell("a/s", restore=restore)).cells[0]
    assert result.verdict is Verdict.PASSED
    assert result.warnings == ("after the hooks artifacts: out/artifacts: a symbolic link",)


def test_a_link_among_the_artifacts_is_a_warning_and_stays_behind(world: World) -> None:
    world.secrets = {"TOKEN": "47161718"}
    run = "cd $DISTROMATRIX_ARTIFACTS; echo 1 >1.log; ln -s $PWD/1.log latest-$TOKEN.log"
    result = world.execute(cell("a/s", run)).cells[0]
    assert result.verdict is Verdict.PASSED
    assert result.warnings == ("left out of the artifacts: latest-***.log (a symbolic link)",)
    assert [p.name for p in (world.run / "cells/a/s/artifacts").iterdir()] == ["1.log"]


def test_a_hook_that_hangs_is_ended_and_said_and_what_came_before_stands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "HOOK_TIMEOUT", 0.5)
    world.secrets = {"TOKEN": "47161718"}
    leave = "touch $DISTROMATRIX_ARTIFACTS/debug"
    hanging = cell("a/s", "exit 3", debug=f"echo so far; {leave}; sleep $TOKEN", restore="exit 9")
    result = world.execute(hanging, retries=3).cells[0]
    assert (result.verdict, result.reason, result.attempts) == (
        Verdict.FAILED,
        "exit status 3",
        1,
    )
    assert result.debug == ("so far",)
    assert "debug did not end within 0.5 s, running: sleep ***" in result.warnings[0]
    assert result.warnings[1] == "restore ended with exit status 9"  # the machine had gone on
    assert (world.run / "cells/a/s/artifacts/debug").exists()
    assert world.left() == []


def test_a_machine_that_goes_away_under_a_hook_takes_no_verdict_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(event: Event, running: Executor) -> None:
        if isinstance(event, CellSilent):
            for left in world.engine.leftovers():
                if left.kind == "container":
                    world.engine.remove(left)

    world.on_event = end
    bad = cell("a/s", "exit 3", debug="sleep 77", restore="true")
    result = world.execute(bad, retries=3, silent_after=0.1).cells[0]
    assert (result.verdict, result.attempts) == (Verdict.FAILED, 1)
    assert "debug was cut off: its machine is gone" in result.warnings[0]


def test_no_hook_runs_in_a_machine_that_is_ended_and_that_is_said(world: World) -> None:
    world.faults(oom={"a/*": 0})
    hung = cell("a/s", "sleep 77", debug="echo no", restore="echo no")
    result = world.execute(hung).cells[0]
    assert result.verdict is Verdict.FAILED
    assert [w.split(":")[0] for w in result.warnings] == [
        "debug did not run",
        "restore did not run",
    ]


def test_hooks_run_after_a_timeout_in_the_machine_as_the_suite_left_it(world: World) -> None:
    hung = cell("a/s", "echo so >far; sleep 77", timeout=0.5, debug="cat far", restore="exit 9")
    result = world.execute(hung).cells[0]
    assert result.verdict is Verdict.FAILED
    assert "sleep 77" in result.reason
    assert result.debug == ("so",)
    assert result.warnings == ("restore ended with exit status 9",)


def test_debug_output_is_bounded_and_masked(world: World) -> None:
    world.secrets = {"TOKEN": "hunter22"}
    flood = "yes line | head -n 400000; echo $TOKEN"
    result = world.execute(cell("a/s", "exit 1", debug=flood)).cells[0]
    assert len(result.debug) == hooks.DEBUG_LINES
    assert result.debug[-2:] == ("line", "***")
    assert len((world.run / "cells/a/s/log.txt").read_bytes()) > 2_000_000


def test_a_command_that_hung_is_named_without_its_secrets(world: World) -> None:
    world.secrets = {"TOKEN": "47171819"}
    result = world.execute(cell("a/s", "sleep $TOKEN", timeout=0.5)).cells[0]
    assert "running: sleep ***" in result.reason


def test_setup_and_run_share_the_suites_time_and_the_hung_command_is_named(world: World) -> None:
    slow = cell("a/s", "echo so far; sleep 77", setup=("sleep 0.4",), timeout=1.0)
    result = world.execute(slow).cells[0]
    assert (result.verdict, result.phase) == (Verdict.FAILED, Phase.RUN)
    assert "timed out after 1 s" in result.reason and "sleep 77" in result.reason
    assert result.seconds < 20
    assert "so far" in log(world, result)


def test_a_failing_setup_fails_the_cell_and_the_suite_is_not_run(world: World) -> None:
    result = world.execute(cell("a/s", "echo ran", setup=("echo preparing; exit 4",))).cells[0]
    assert (result.verdict, result.phase) == (Verdict.FAILED, Phase.SETUP)
    assert "exit status 4" in result.reason
    assert "ran" not in log(world, result)


def test_a_kept_machine_is_told_with_how_to_enter_and_remove_it(world: World) -> None:
    result = world.execute(cell("a/bad", "exit 1"), cell("a/good"), keep="failed")
    bad, good = result.cells
    assert bad.kept is not None and bad.kept.enter and bad.kept.remove
    assert good.kept is None
    assert world.left() == [bad.kept.name]


def test_a_machine_whose_suite_timed_out_is_kept_with_its_artifacts(world: World) -> None:
    script = "echo 1 >$DISTROMATRIX_ARTIFACTS/half; sleep 4732"
    result = world.execute(cell("a/s", script, timeout=1.0), keep="failed").cells[0]
    assert result.verdict is Verdict.FAILED and "timed out after 1 s" in result.reason
    assert (world.run / "cells/a/s/artifacts/half").read_text() == "1\n"
    assert result.kept is not None
    assert world.left() == [result.kept.name]


def test_passed_variables_are_masked_in_everything_that_is_told(world: World) -> None:
    world.secrets = {"TOKEN": "hunter22"}
    case = '<testcase name=\\"$TOKEN\\"><failure message=\\"$TOKEN\\"/></testcase>'
    junit = f"<testsuite>{case}</testsuite>"
    result = world.execute(
        cell("a/s", f'echo got $TOKEN; echo "{junit}" >$DISTROMATRIX_JUNIT; exit 1')
    )
    assert log(world, result.cells[0]) == "got ***\n"
    assert result.cells[0].failing[0].name == "***"
    assert "hunter22" not in repr((result, world.events))
    for file in world.run.rglob("*"):
        assert file.is_dir() or b"hunter22" not in file.read_bytes(), file


def test_what_still_prints_in_the_background_spoils_no_report(world: World) -> None:
    noise = "(while :; do echo noise; done) & "
    junit = "echo \"<testsuite><testcase name='a'/></testsuite>\" >$DISTROMATRIX_JUNIT"
    result = world.execute(cell("a/s", noise + junit)).cells[0]
    assert (result.verdict, result.reason) == (Verdict.PASSED, "")
    assert result.cases is not None and result.cases.passed == 1


def test_a_run_leaves_no_snapshot_once_it_has_come_to_its_end(world: World) -> None:
    world.execute(cell("a/s"))
    assert not (world.run / "snapshot.tar").exists()


class Hostile(FakeMachine):
    """Hands back a stream that no honest machine would."""

    stream = b""

    def get(self, path: str) -> Iterable[bytes]:
        return iter((self.stream,))


class EngineOf(FakeEngine):
    """Its machines are of another kind."""

    kind: type[FakeMachine]

    def open(self, spec: MachineSpec, stage: Stage | None = None) -> FakeMachine:
        machine = super().open(spec, stage)
        machine.__class__ = self.kind
        return machine


class HostileEngine(EngineOf):
    """Its machines do."""

    kind = Hostile


class Looking(FakeMachine):
    """Sees in which state (proc(5)) the process is whose id the suite wrote down, whenever files
    are taken out; '' where it has ended."""

    seen: ClassVar[list[str]] = []

    def get(self, path: str) -> Iterable[bytes]:
        pid = (self.root / "distromatrix/product/pid").read_text().strip()
        try:
            self.seen.append(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0])
        except FileNotFoundError:
            self.seen.append("")
        return super().get(path)


class LookingEngine(EngineOf):
    kind = Looking


# A daemon, which nothing leads back to who began it, and that hears no SIGTERM.
DAEMON = """daemon='trap "" TERM HUP; echo $$ >pid; while :; do sleep 1; done'
(setsid sh -c "$daemon" >/dev/null 2>&1 &)
while [ ! -s pid ]; do sleep 0.01; done; echo a >$DISTROMATRIX_ARTIFACTS/a; """


@pytest.mark.parametrize(
    ("hooks", "seen"),
    [
        ({}, [""]),
        ({"restore": "kill -0 $(cat pid); echo b >$DISTROMATRIX_ARTIFACTS/b"}, ["T", ""]),
        ({"debug": "kill -0 $(cat pid); echo b >$DISTROMATRIX_ARTIFACTS/b"}, ["T", ""]),
    ],
)
def test_nothing_that_a_suite_left_running_runs_while_its_files_are_taken_out(
    tmp_path: Path, hooks: dict[str, str], seen: list[str]
) -> None:
    world = World(tmp_path, LookingEngine(tmp_path / "fake"))
    Looking.seen.clear()
    result = world.execute(cell("a/s", DAEMON + "exit 1", **hooks)).cells[0]
    assert (result.verdict, result.reason) == (Verdict.FAILED, "exit status 1")
    assert result.warnings == ()  # the hooks found it running
    # D: it was stopped while it began another program (vfork(2)), and waits for that. R: the signal
    # is the first thing that it meets, once it has a processor; what sleeps would be an S.
    there = [["", "Z"] if state == "" else [state, "D", "R"] for state in seen]
    assert len(Looking.seen) == len(there)
    assert all(state in states for state, states in zip(Looking.seen, there, strict=True))


class Stubborn(FakeMachine):
    """What was left running in it ends with it alone."""

    def signal_left(self, signal: LeftSignal) -> bool:
        self.kill()
        return False


class StubbornEngine(EngineOf):
    kind = Stubborn


def test_what_has_to_be_ended_with_its_machine_is_told_and_loses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, StubbornEngine(tmp_path / "fake"))
    run = f"echo a >$DISTROMATRIX_ARTIFACTS/a; {GREEN}"
    result = world.execute(cell("a/s", run, restore="echo restoring")).cells[0]
    assert (result.verdict, result.cases and result.cases.passed) == (Verdict.PASSED, 1)
    assert (world.run / "cells/a/s/artifacts/a").read_text() == "a\n"
    assert result.warnings == (
        "restore did not run: what the suite had left running ended only with its machine",
    )


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 4) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, size if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(b"evil"[:size]) if info.size else None)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "stream",
    [
        member("out/artifacts/../../../../evil"),
        member("/tmp/evil"),
        member("out/artifacts/null", tarfile.CHRTYPE),
        member("out/artifacts", tarfile.SYMTYPE, "/etc"),
        member("out/artifacts/hard", tarfile.LNKTYPE, "/etc/passwd"),
        member("out/junit.xml", tarfile.SYMTYPE, "/etc/passwd"),
        member("out/artifacts/cut")[:514],
        b"\0garbage" * 512,
    ],
)
def test_a_hostile_stream_is_a_failure_and_writes_nothing_outside(
    tmp_path: Path, stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hostile, "stream", stream)
    world = World(tmp_path, HostileEngine(tmp_path / "engine"))
    leaves_something = cell("a/s", "touch $DISTROMATRIX_ARTIFACTS/x")
    outside = {p for p in tmp_path.rglob("*") if ".distromatrix" not in p.parts}
    result = world.execute(leaves_something)
    assert (result.cells[0].verdict, result.cells[0].phase) == (Verdict.FAILED, Phase.COLLECT)
    after = {p for p in tmp_path.rglob("*") if ".distromatrix" not in p.parts}
    assert {p for p in after - outside if "engine" not in p.parts} == set()
    assert not os.path.lexists("/tmp/evil")
    for path in (world.run / "cells").rglob("*"):
        assert not path.is_symlink() and (path.is_file() or path.is_dir())


def test_a_machine_that_is_given_up_is_asked_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_free(machine: FakeMachine) -> int:
        machine.kill("was given up")
        raise MachineGoneError("box was given up")

    monkeypatch.setattr(FakeMachine, "disk_free", disk_free)
    run = 'echo kept >"$DISTROMATRIX_ARTIFACTS/kept"; exit 3'
    result = world.execute(cell("a/s", run, debug="true", restore="true")).cells[0]
    assert (result.verdict, result.reason) == (Verdict.FAILED, "exit status 3")
    dead = "did not run: box was given up"
    assert result.warnings == (f"debug {dead}", f"restore {dead}")
    assert (world.run / "cells/a/s/artifacts/kept").read_text() == "kept\n"
