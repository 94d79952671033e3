"""`run --export failed`: which machines go into a file, and what keeps one from it. Whatever comes
of that, the cell's verdict is the same."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from executing import World, cell

from distromatrix.execute.cell import export
from distromatrix.images.store.machine_file import opened_machine
from distromatrix.model import CellResult, Expectation, Verdict
from fake_engine.machine import FakeMachine


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def exported(world: World, result: CellResult) -> Path:
    assert result.exported is not None, result.warnings
    path = world.run / result.exported.file
    assert path.stat().st_size == result.exported.size
    return path


def refused(world: World, result: CellResult) -> str:
    """Why there is no file; nothing of one is left."""
    assert result.exported is None
    assert not list((world.run / "cells" / result.id).glob("*machine*"))
    (warning,) = result.warnings
    assert warning.startswith("its machine was not exported: ")
    return warning.removeprefix("its machine was not exported: ")


def test_a_failed_cells_machine_is_a_file_and_a_passed_ones_is_not(world: World) -> None:
    known = (Expectation(reason="known"),)
    cells = (
        cell("a/bad", "echo trace >left-here; exit 1", env={"COLOUR": "green"}),
        cell("a/setup", setup=("exit 1",)),
        cell("a/good"),
        cell("a/known", "exit 1", expect_fail=known),
    )
    bad, setup, good, expected = world.execute(*cells, export="failed").cells
    assert (good.exported, expected.exported) == (None, None)
    exported(world, setup)
    with opened_machine(exported(world, bad)) as found:
        assert (found.about.cell, found.about.env["COLOUR"]) == ("a/bad", "green")
        changes = found.changes(world.folder)
        changes.there.seek(0)
        assert b"left-here" in changes.there.read()
        changes.close()
    assert world.left() == []


def test_nothing_is_exported_unasked(world: World) -> None:
    assert world.execute(cell("a/bad", "exit 1")).cells[0].exported is None


def test_a_machine_is_exported_and_kept(world: World) -> None:
    result = world.execute(cell("a/bad", "exit 1"), export="failed", keep="failed").cells[0]
    assert exported(world, result) and result.kept


def test_a_machine_that_was_handed_secrets_is_exported_only_with_them(world: World) -> None:
    world.secrets = {"TOKEN": "hunter22"}
    script = cell("a/bad", "echo $TOKEN >kept-it; exit 1")
    result = world.execute(script, export="failed").cells[0]
    assert result.verdict is Verdict.FAILED
    assert refused(world, result) == ("it was handed TOKEN, which --with-secrets would export, too")
    result = world.execute(script, export="failed", with_secrets=True).cells[0]
    with opened_machine(exported(world, result)) as found:
        assert found.about.secrets == ("TOKEN",)
        assert "hunter22" not in str(found.about)


def test_a_machine_that_is_too_large_is_told_and_not_cut(world: World) -> None:
    result = world.execute(
        cell("a/bad", "head -c 3000000 /dev/urandom >big; exit 1"),
        export="failed",
        export_size=2 << 20,
    ).cells[0]
    assert result.verdict is Verdict.FAILED
    assert refused(world, result) == "it takes more than 2M (--export-size)"


def test_all_files_of_a_run_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FILES", 1)
    cells = (cell("a/one", "exit 1"), cell("a/two", "exit 1"))
    results = world.execute(*cells, jobs=1, export="failed", export_size=100_000).cells
    (exported_one,) = [one for one in results if one.exported]
    (other,) = [one for one in results if one is not exported_one]
    assert other.verdict is Verdict.FAILED
    assert "all of a run: 1 times --export-size" in refused(world, other)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("unexpected end of data"), "unexpected end of data"),
    ],
)
def test_a_full_disk_is_told_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def broken(_: FakeMachine) -> Iterator[Iterable[bytes]]:
        raise error
        yield ()

    monkeypatch.setattr(FakeMachine, "files", broken)
    result = world.execute(cell("a/bad", "exit 1"), export="failed").cells[0]
    assert (result.verdict, result.reason) == (Verdict.FAILED, "exit status 1")
    assert refused(world, result) == said


def test_an_interrupted_export_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FakeMachine.files

    def interrupted(machine: FakeMachine) -> Iterator[Iterable[bytes]]:
        yield from whole(machine)

        def more() -> Iterator[bytes]:
            endless = tarfile.TarInfo("endless")
            endless.size = 1 << 40
            yield endless.tobuf()
            world.executor.interrupt("SIGINT")
            while True:
                yield bytes(1 << 10)

        yield more()

    monkeypatch.setattr(FakeMachine, "files", interrupted)
    result = world.execute(cell("a/bad", "exit 1"), export="failed")
    assert (result.interrupted, result.exit_code) == ("SIGINT", 130)
    assert not list((world.run / "cells").rglob("*machine*"))
    assert world.left() == []


def test_the_files_of_all_runs_of_a_cell_are_told(world: World) -> None:
    result = world.execute(cell("a/bad", "exit 1"), repeat=2, export="failed").cells[0]
    files = {run.exported.file for run in result.runs if run.exported}
    assert len(files) == 2 and result.exported is not None and result.exported.file in files
