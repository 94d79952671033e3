"""Run folders come from elsewhere: nothing in them is followed, waited for or believed."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from merge_world import World, by_id
from report_samples import failed, result

from distromatrix.errors import InfrastructureError, InputError
from distromatrix.merge import untrusted
from distromatrix.model import CaseCounts, CellRun, Fallback, Verdict
from distromatrix.plan.file import WHOLE, read_plan
from distromatrix.reports.files import write_reports
from distromatrix.reports.replay import warnings

LEFT_OUT = "shard 2/3: not taken over: {} links, odd files or deep folders"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/log.txt").write_text("secret")
    (tmp_path / "secret/junit.xml").write_text("<testsuite><testcase name='secret'/></testsuite>")
    return World(tmp_path / "project")


def holds(folder: Path, text: str) -> list[Path]:
    """The files at or below a folder in which a text is; links are followed, as readers do."""
    found = [p for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]
    return [path.relative_to(folder) for path in found]


def kinds(folder: Path) -> set[str]:
    """What there is at or below a folder but files and folders."""
    return {
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if p.is_symlink() or not (p.is_file() or p.is_dir())
    }


def _link(path: Path) -> None:
    path.symlink_to(path.parents[len(path.parts) - 2] / "etc/passwd")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has at most 107 characters
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def _folder(path: Path) -> None:
    path.mkdir()


ODD: tuple[Callable[[Path], None], ...] = (_link, _fifo, _socket, _folder)


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("name", [WHOLE, "journal.jsonl", "lock", "cells", "plan.json"])
def test_no_file_of_a_run_may_be_anything_else(
    world: World, name: str, make: Callable[[Path], None]
) -> None:
    world.leave_all()
    path = world.jobs / "job-2/run-2" / name
    moved = world.root / "moved"
    path.rename(moved)
    make(path)
    merged = world.merged()
    first = by_id(merged)[world.cells_of(2)[0]]
    if name == WHOLE:
        assert first.reason == "shard 2/3 is lost: its job left no run"
        assert WHOLE in warnings(merged.folder)[0]
    elif name == "journal.jsonl":
        assert first.reason.startswith("shard 2/3 ended before it began a cell")
        assert "shard 2/3: journal.jsonl" in warnings(merged.folder)[0]
    else:  # the plan of the shard is that of the whole; a lock tells only who lives
        assert first.verdict is Verdict.PASSED
    if name == "cells" and make is not _folder:
        assert "not taken over: 2" in warnings(merged.folder)[0]
    assert kinds(merged.folder) == set()
    assert holds(merged.folder, "root:") == []


def test_links_out_of_a_cells_folder_are_left_out(world: World, tmp_path: Path) -> None:
    world.leave_all()
    cell, other = world.cells_of(2)
    folder = world.jobs / "job-2/run-2/cells" / cell
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "junit.xml").symlink_to(tmp_path / "secret/junit.xml")
    os.mkfifo(folder / "pipe")
    whole = world.jobs / "job-2/run-2/cells" / other
    (whole / "log.txt").unlink()
    whole.rmdir()
    whole.symlink_to(tmp_path / "secret")
    merged = world.merged()
    write_reports(merged.folder, read_plan(merged.folder / "plan.json"), merged)
    assert holds(merged.folder, "secret") == []
    assert kinds(merged.folder) == set()
    assert warnings(merged.folder) == (
        "shard 2/3: not taken over: 4 links, odd files or deep folders",
    )


def test_links_are_not_followed_to_run_folders(world: World, tmp_path: Path) -> None:
    world.leave_all()
    (world.jobs / "job-2").rename(tmp_path / "elsewhere")
    (world.jobs / "job-2").symlink_to(tmp_path / "elsewhere")
    (world.jobs / "loop").symlink_to(world.jobs)
    merged = world.merged()
    assert by_id(merged)[world.cells_of(2)[0]].reason == "shard 2/3 is lost: its job left no run"
    assert world.merged(world.jobs, world.jobs / "job-2").exit_code == 0  # named, it is meant


def test_a_cell_that_leads_out_makes_no_plan(world: World) -> None:
    world.leave_all()
    path = world.jobs / "job-2/run-2" / WHOLE
    for bad in ("../../../out/unit", "/etc/unit", "debian-11/..", "a\x1b/unit"):
        found = json.loads(path.read_text())
        found["cells"][0]["id"] = bad
        found["cells"][0]["distro"] = bad.rpartition("/")[0]
        path.write_text(json.dumps(found))
        (warning,) = world.warnings()
        assert "has a wrong cell" in warning
        assert "\x1b" not in warning


@pytest.mark.parametrize("name", ["d", "d" * 200])
def test_a_deep_tree_is_cut_and_told(world: World, name: str) -> None:
    """Deeper than any is taken over, and with the longer name, longer than a path may be."""
    world.leave_all()
    folder = world.jobs / "job-2/run-2/cells" / world.cells_of(2)[0]
    here = os.open(folder, os.O_RDONLY)
    for _ in range(60):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    merged = world.merged()
    assert merged.exit_code == 0
    assert warnings(merged.folder) == (
        "shard 2/3: not taken over: 1 links, odd files or deep folders",
    )


def test_run_folders_are_not_looked_for_forever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distromatrix.merge.found._MAX_FOLDERS", 20)
    deep = world.jobs
    for _ in range(12):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "lock").touch()
    with pytest.raises(InputError, match="no run folder of a shard here"):
        world.merged()
    for number in range(30):
        (world.jobs / f"x{number}").mkdir()
    with pytest.raises(InputError, match="more than 20 folders"):
        world.merged()


def test_a_huge_journal_is_read_up_to_its_limit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.leave_all()
    path = world.jobs / "job-2/run-2/journal.jsonl"
    size = path.stat().st_size
    os.truncate(path, 1024**4)  # sparse: a line of zeros of a TiB
    monkeypatch.setattr(untrusted, "MAX_JOURNAL", size + 20_000)
    monkeypatch.setattr(untrusted, "MAX_LINE", 10_000)
    merged = world.merged()
    assert by_id(merged)[world.cells_of(2)[0]].verdict is Verdict.PASSED
    assert "journal.jsonl has more than" in warnings(merged.folder)[0]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b'{"type": "cell-finished"}',
        b'{"type": "unknown", "time": 1}',
        b"[" * 100_000,
        b'{"a":' * 5000,
        b'{"seconds": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
        b"x" * 20_000,
        b'{"type": "warned", "text": "w", "time": 1' + b"0" * 400 + b"}",
        b'{"type": "warned", "text": "w", "time": NaN, "more": 1',
    ],
)
def test_a_line_that_is_no_event_is_left_out(
    world: World, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted, "MAX_LINE", 10_000)
    world.leave_all()
    path = world.jobs / "job-2/run-2/journal.jsonl"
    head, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + line + b"\n" + b"".join(rest))
    merged = world.merged()
    assert merged.exit_code == 0
    assert warnings(merged.folder) == ()


def test_numbers_that_are_none_are_finite_here(world: World) -> None:
    world.leave_all()
    path = world.jobs / "job-2/run-2/journal.jsonl"
    text = path.read_text()
    text = text.replace('"seconds":2.0', '"seconds":1e999').replace(
        '"seconds":7.0', '"seconds":NaN'
    )
    path.write_text(text)
    merged = world.merged()
    plan = read_plan(merged.folder / "plan.json")
    write_reports(merged.folder, plan, merged)
    found = json.loads((merged.folder / "results.json").read_text(), parse_constant=pytest.fail)
    assert {cell["seconds"] for cell in found["cells"]} == {0.0, 2.0}


def test_an_engine_is_no_way_out_of_the_run(world: World, tmp_path: Path) -> None:
    """A guest's report lies in a folder with its engine's name."""
    cell, other = world.cells_of(2)
    up = "../" * 9 + str(tmp_path / "secret").lstrip("/")
    guest = Fallback(engine=up, why="", how="pytest", tests=("secret",), verdict=Verdict.PASSED)
    once = CellRun(repeat=1, verdict=Verdict.PASSED, fallback=(guest,))
    world.leave_all(
        result(cell, cases=CaseCounts(skipped=1), fallback=(guest,)),
        result(other, runs=(once,), fallback=(guest,)),
    )
    own = world.jobs / "job-2/run-2/cells" / cell / "junit.xml"
    own.write_text("<testsuite><testcase name='secret'><skipped/></testcase></testsuite>")
    merged = world.merged()
    assert by_id(merged)[cell].fallback == ()
    assert by_id(merged)[other].fallback == by_id(merged)[other].runs[0].fallback == ()
    write_reports(merged.folder, read_plan(merged.folder / "plan.json"), merged)
    assert "<skipped" in (merged.folder / "junit.xml").read_text()


def test_what_a_terminal_would_obey_is_shown(world: World) -> None:
    cell = world.cells_of(2)[0]
    text = "\x1b]0;title\x07\u202e"
    world.leave_all(failed(cell, text, reason=text, tail=(text,), warnings=(text,)))
    merged = world.merged()
    told = repr(merged) + (merged.folder / "journal.jsonl").read_text()
    assert "\x1b" not in told
    assert "\\u001b" not in told
    assert "\u202e" not in told


def test_a_warning_is_one_line_whatever_another_job_says(world: World) -> None:
    world.leave_all()
    with (world.jobs / "job-2/run-2/journal.jsonl").open("a") as journal:
        for text in ("a\tb\n passed  24 cells", "\n"):
            journal.write(json.dumps({"type": "warned", "text": text}) + "\n")
    assert warnings(world.merged().folder) == ("a   b",)


def test_a_list_without_end_is_cut(world: World) -> None:
    cell = world.cells_of(2)[0]
    many = tuple(f"t::{n}" for n in range(10_050))
    world.leave_all(failed(cell, *many, reason="x" * 30_000, warnings=("w",) * 300))
    told = by_id(world.merged())[cell]
    assert (len(told.failing), len(told.reason), len(told.warnings)) == (10_000, 20_000, 100)


def test_a_hostile_lock_does_not_hold_up_a_merge(world: World) -> None:
    world.leave_all()
    lock = world.jobs / "job-2/run-2/lock"
    lock.unlink()
    os.mkfifo(lock)
    assert not untrusted.is_running(lock.parent)
    assert world.merged().exit_code == 0


def test_where_links_cannot_be_made_files_are_copied(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    world.leave_all()
    merged = world.merged()
    log = f"cells/{world.cells_of(1)[0]}/log.txt"
    assert (merged.folder / log).read_text() == "said in run-1\n"
    assert (merged.folder / log).stat().st_nlink == 1


def test_a_full_disk_is_told_as_that(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(untrusted.shutil, "copyfileobj", full)
    world.leave_all()
    with pytest.raises(InfrastructureError, match="No space left on device"):
        world.merged()
