"""One cell: its hooks, its time, its report and artifacts, and what is kept of it."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from executing import World, cell

from distromatrix.engines.base import MachineSpec, Stage
from distromatrix.engines.fake import FakeEngine
from distromatrix.engines.fake_machine import FakeMachine
from distromatrix.model import CellResult, Phase, Verdict


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def log(world: World, result: CellResult) -> str:
    return (world.run / "cells" / result.id / "log.txt").read_text()


def test_debug_runs_after_a_failure_and_restore_in_any_case(world: World) -> None:
    hooks = {"debug": "echo debugging", "restore": "echo restoring; exit 9"}
    result = world.execute(cell("a/bad", "exit 3", **hooks), cell("a/good", **hooks))
    bad, good = result.cells
    assert (bad.verdict, good.verdict) == (Verdict.FAILED, Verdict.PASSED)
    assert "debugging" in log(world, bad) and "restoring" in log(world, bad)
    assert "debugging" not in log(world, good) and "restoring" in log(world, good)


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


class HostileEngine(FakeEngine):
    """Its machines do."""

    def open(self, spec: MachineSpec, stage: Stage | None = None) -> FakeMachine:
        machine = super().open(spec, stage)
        machine.__class__ = Hostile
        return machine


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
        member("out/artifacts/pipe", tarfile.FIFOTYPE),
        member("out/artifacts/link", tarfile.SYMTYPE, "/etc/passwd"),
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
