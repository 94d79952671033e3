"""The faults that the fake engine makes on demand."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import pytest

from distromatrix.engines.contract import LABEL_CELL, Command, MachineSpec
from distromatrix.errors import CannotStartError, MachineGoneError, PullError
from distromatrix.files.small_tar import tar_of
from fake_engine.engine import FakeEngine
from fake_engine.state import Faults


def _engine(folder: Path, faults: Faults) -> FakeEngine:
    engine = FakeEngine(folder, faults=faults)
    engine.images.load_rootfs(io.BytesIO(tar_of(())), "distromatrix/x:1", {})
    return engine


def _spec(cell: str) -> MachineSpec:
    name = "distromatrix-" + cell.replace("/", "-")
    return MachineSpec(name=name, image="distromatrix/x:1", labels={LABEL_CELL: cell})


def test_a_machine_can_go_as_often_as_told(tmp_path: Path) -> None:
    engine = _engine(tmp_path, Faults(gone={"a/*": 1}))
    first = engine.open(_spec("a/unit"))
    with pytest.raises(MachineGoneError) as caught:
        first.run(Command("sleep 60"))
    assert not caught.value.oom
    first.close()
    for cell in ("a/unit", "b/unit"):
        machine = engine.open(_spec(cell))
        assert machine.run(Command("sleep 0.2")).status == 0
        machine.close()


def test_a_machine_can_run_out_of_memory(tmp_path: Path) -> None:
    machine = _engine(tmp_path, Faults(oom={"*": 0})).open(_spec("a/unit"))
    with pytest.raises(MachineGoneError) as caught:
        machine.run(Command("sleep 60"))
    assert caught.value.oom
    machine.close()


def test_an_image_can_refuse_to_start(tmp_path: Path) -> None:
    engine = _engine(tmp_path, Faults(cannot_start={"a/*": 0}))
    with pytest.raises(CannotStartError):
        engine.open(_spec("a/unit"))
    engine.open(_spec("b/unit")).close()


def test_a_pull_can_fail_in_each_way(tmp_path: Path) -> None:
    engine = _engine(tmp_path, Faults(pulls={"far/*": "unreachable"}))
    with pytest.raises(PullError) as caught:
        engine.images.pull("far/debian:12", "distromatrix/base:1", lambda _: None)
    assert caught.value.kind == "unreachable"
    assert engine.images.pull("near/debian:12", "distromatrix/base:1", lambda _: None).id


def test_a_command_that_does_not_begin_in_time_ends_its_machine(tmp_path: Path) -> None:
    machine = _engine(tmp_path, Faults()).open(_spec("a/unit"))
    (shell,) = (int(file.name) for file in (tmp_path / "machines").glob("*.shells/*"))
    os.kill(shell, signal.SIGSTOP)
    exit = machine.run(Command("true", timeout=0.5))
    assert (exit.status, exit.ended) == (None, True)
    with pytest.raises(MachineGoneError, match="stopped by a timeout"):
        machine.run(Command("true"))
    machine.close()
