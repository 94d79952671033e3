"""What a run has open when it ends goes in a process of its own, and nothing stays behind."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from executing import World

from distromatrix.cli.run import _goes_apart
from distromatrix.engines import Engines
from distromatrix.engines.contract import MachineSpec
from distromatrix.engines.fake.engine import FakeEngine
from distromatrix.engines.fake.state import Faults
from distromatrix.execute.afterwards import close_apart
from distromatrix.execute.sweep import labels_of
from distromatrix.record.folder import RunFolder


def opened(engine: FakeEngine, name: str, folder: RunFolder) -> str:
    spec = MachineSpec(
        name=f"distromatrix-{name}", image="distromatrix/test:fake", labels=labels_of(folder)
    )
    machine = engine.open(spec)
    if name == "kept":
        machine.keep()
    return machine.name


def test_what_is_open_is_removed_by_another_process_that_holds_the_runs_lock_meanwhile(
    tmp_path: Path,
) -> None:
    engine = World(tmp_path).engine
    with RunFolder.create(tmp_path) as living:
        with RunFolder.create(tmp_path) as folder:
            opened(engine, "mine", folder)
            stay = {opened(engine, "kept", folder), opened(engine, "living", living)}
            assert close_apart(lambda: FakeEngine(tmp_path / "engine"), folder)
        with (folder.path / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as soon as that process has ended
        assert {left.name for left in engine.leftovers()} == stay


def test_a_process_stays_behind_only_where_nobody_ends_it_and_the_engine_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    world = World(tmp_path)
    assert _goes_apart(world.engines)
    monkeypatch.setenv("CI", "true")
    assert not _goes_apart(world.engines)
    monkeypatch.delenv("CI")
    guests = Engines(world.engine, lambda name, _: world.engine.playing(name))
    guests.of("qemu")
    assert not _goes_apart(guests)
    gone = FakeEngine(tmp_path / "engine", faults=Faults(unavailable=True))
    assert not _goes_apart(Engines(gone))
