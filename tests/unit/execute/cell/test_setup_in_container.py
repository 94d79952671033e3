"""Setup that a container runs for a guest, which is given what it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from executing import OWN_PYTEST, World, cell

from distromatrix.model import CellResult, Phase, Verdict
from distromatrix.record.events import CellProgress

pytestmark = pytest.mark.usefixtures("quick")

SETUP = "echo $DISTROMATRIX_ENGINE >made; rm hello; echo 1 >$DISTROMATRIX_ARTIFACTS/of-setup"
RUN = 'test "$(cat made)" = fake; test ! -e hello; echo now on $DISTROMATRIX_ENGINE'
TESTS = """\
import os, pytest

def test_plain():
    with open("made", "a") as made: made.write("run\\n")

@pytest.mark.needs("kernel-modules")
def test_module():
    assert os.environ["DISTROMATRIX_ENGINE"] == "qemu"
    assert open("made").read() == "fake\\n"
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def in_guest(world: World, setup: str, run: str = "echo it ran", **other: Any) -> CellResult:
    how = {"engine": "qemu", "setup_in_container": True, **other}
    (result,) = world.execute(cell("a/s", run, setup=(setup,), **how)).cells
    assert world.left() == []
    return result


def log(world: World, guest: str = "") -> str:
    return (world.run / "cells/a/s" / guest / "log.txt").read_text()


def test_the_guest_has_what_a_containers_setup_changed(world: World) -> None:
    result = in_guest(world, SETUP, RUN)
    assert (result.verdict, result.engine) == (Verdict.PASSED, "qemu")
    assert "now on qemu" in log(world)
    assert (world.run / "cells/a/s/artifacts/of-setup").exists()
    told = [event.text for event in world.events if isinstance(event, CellProgress)]
    assert told == ["restored", "setup in a container", "setup carried (0.0 MiB)"]


@pytest.mark.parametrize("engine", ["fake", "qemu"])
def test_a_setup_that_fails_is_judged_as_one_that_fails_in_the_guest(
    world: World, engine: str
) -> None:
    said = {"debug": "cat made", "restore": "echo restored", "user": "root"}
    there = engine == "fake"
    result = in_guest(world, f"{SETUP}; echo bad; exit 3", setup_in_container=there, **said)
    assert (result.verdict, result.phase, result.engine) == (Verdict.FAILED, Phase.SETUP, "qemu")
    assert (result.reason, result.statuses) == ("setup: exit status 3", (3,))
    assert result.debug == (engine,)
    assert (world.run / "cells/a/s/artifacts/of-setup").exists()
    assert "restored" in log(world)
    assert "it ran" not in log(world)


def test_the_containers_seconds_count_once_and_the_guests_as_often_as_it_is_slower(
    world: World,
) -> None:
    world.guest_faults("qemu", scale=20.0)
    result = in_guest(world, "sleep 30", timeout=0.3)
    assert (result.verdict, result.phase) == (Verdict.FAILED, Phase.SETUP)
    assert "timed out after 0.3 s" in result.reason
    world.guest_faults("qemu", scale=20.0)
    assert in_guest(world, "sleep 0.1", "sleep 0.7", timeout=0.5).verdict is Verdict.PASSED


def test_without_the_programs_for_it_setup_runs_in_the_guest(world: World) -> None:
    world.faults(notes_state=False)
    result = in_guest(world, "echo $DISTROMATRIX_ENGINE >made", 'test "$(cat made)" = qemu')
    assert result.verdict is Verdict.PASSED
    assert "no GNU tar and find" in result.warnings[0]


def test_more_than_its_disk_is_not_carried(world: World) -> None:
    many = "i=0; while [ $i -lt 2000 ]; do : >file$i; i=$((i + 1)); done"
    result = in_guest(world, many, disk=600_000)
    assert result.verdict is Verdict.FAILED
    assert "its setup changed more than its disk" in result.reason
    assert "it ran" not in log(world)


def test_a_failed_setups_container_is_what_is_kept(world: World) -> None:
    failing = cell("a/s", setup=("echo x >left; false",), engine="qemu", setup_in_container=True)
    (result,) = world.execute(failing, keep="failed").cells
    assert result.kept is not None
    (kept,) = world.engine.leftovers()
    assert kept.name == result.kept.name
    world.engine.remove(kept)


def test_cases_that_fall_back_find_what_setup_left_and_no_setup_runs_again(
    world: World, tmp_path: Path
) -> None:
    world.here = {"qemu": "", "vagrant": ""}
    (tmp_path / "product/test_it.py").write_text(TESTS)
    (tmp_path / "product/pytest.ini").write_text("[pytest]\n")
    count = tmp_path / "count"
    setup = f"echo x >>{count}; echo $DISTROMATRIX_ENGINE >made"
    result = in_guest(world, setup, f"{OWN_PYTEST} -rA", engine="fake")
    assert result.verdict is Verdict.PASSED, log(world, "guest/qemu")
    assert [one.engine for one in result.fallback] == ["qemu"]
    assert count.read_text() == "x\n"
    assert "--- setup carried" in log(world, "guest/qemu")


def test_what_is_on_its_way_leaves_no_file_in_the_runs_folder(world: World) -> None:
    in_guest(world, SETUP, RUN)
    found = {path.name for path in (world.run / "cells/a/s").rglob("*") if path.is_file()}
    assert found == {"log.txt", "of-setup"}
