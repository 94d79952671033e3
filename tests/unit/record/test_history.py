"""What is remembered of a project's runs: a file that may be anything, and that several write."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.model import CellResult, CellRun, Verdict
from distromatrix.plan.durations import Durations
from distromatrix.record import history, history_file
from distromatrix.record.history import History, RunStamp
from distromatrix.record.history import history_file as path_of

MATRIX = "matrix/default.yaml"


def result(name: str, seconds: float, verdict: Verdict = Verdict.PASSED) -> CellResult:
    return CellResult(id=name, verdict=verdict, seconds=seconds)


def remembered(path: Path, *results: CellResult, run: str = "r1", matrix: str = MATRIX) -> History:
    one = History(path, matrix)
    assert one.add(RunStamp(run, 1.0, "c0ffee"), results) == ""
    return one


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(path)
    found = database.execute(query).fetchall()
    database.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new/history.sqlite3"


def test_the_newest_five_runs_of_each_cell_are_known(path: Path) -> None:
    for number in range(7):
        remembered(path, result("a/unit", 1.0 + number), run=f"r{number}")
    one = remembered(path, result("b/unit", 9.0), run="r9")
    assert one.durations() == Durations(
        cells={"a/unit": (3.0, 4.0, 5.0, 6.0, 7.0), "b/unit": (9.0,)}
    )


def test_each_run_has_its_time_and_commit_and_what_came_of_its_cells(path: Path) -> None:
    repeated = CellResult(
        id="a/thrice",
        verdict=Verdict.FAILED,
        seconds=9.0,
        runs=tuple(CellRun(repeat=n, verdict=Verdict.PASSED) for n in (1, 2, 3)),
    )
    remembered(path, repeated, result("a/broken", 4.0, Verdict.ERROR), run="r1")
    assert rows(path, "SELECT * FROM runs") == [(1, "r1", 1.0, MATRIX, "c0ffee")]
    assert rows(path, "SELECT * FROM cells") == [
        (1, "a/broken", "error", 0.0),
        (1, "a/thrice", "failed", 3.0),
    ]
    assert rows(path, "PRAGMA user_version") == [(2,)]
    assert path.parent.stat().st_mode & 0o077 == 0


def test_what_broke_says_nothing_of_how_long_it_takes_and_what_was_not_begun_is_not_there(
    path: Path,
) -> None:
    one = remembered(
        path,
        result("a/broken", 4.0, Verdict.ERROR),
        result("a/skipped", 0.0, Verdict.SKIPPED),
        result("a/red", 2.0, Verdict.FAILED),
    )
    assert one.durations().cells == {"a/red": (2.0,)}
    assert rows(path, "SELECT id FROM cells ORDER BY id") == [("a/broken",), ("a/red",)]


def test_a_run_that_went_on_is_one_run(path: Path) -> None:
    remembered(path, result("a/unit", 1.0), run="r1")
    one = remembered(path, result("a/unit", 1.0), result("b/unit", 2.0), run="r1")
    assert rows(path, "SELECT count(*) FROM runs") == [(1,)]
    assert one.durations().cells == {"a/unit": (1.0,), "b/unit": (2.0,)}


def test_matrices_of_one_project_are_told_apart(path: Path) -> None:
    remembered(path, result("a/unit", 1.0), run="r1")
    other = remembered(path, result("a/unit", 7.0), run="r2", matrix="matrix/other.yaml")
    assert other.durations().cells == {"a/unit": (7.0,)}


def test_where_nothing_can_be_kept_nothing_is(tmp_path: Path) -> None:
    one = History(None, MATRIX)
    assert one.add(RunStamp("r", 1.0), [result("a/b", 1.0)]) == ""
    assert one.durations() == Durations()
    assert History(tmp_path / "none.sqlite3", MATRIX).durations() == Durations()
    assert list(tmp_path.iterdir()) == []


# --- bounds ------------------------------------------------------------------------------------


def test_old_runs_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT_RUNS", 3)
    for number in range(6):
        remembered(path, result("a/b", 1.0), run=f"r{number}")
    assert rows(path, "SELECT id FROM runs") == [("r3",), ("r4",), ("r5",)]
    assert rows(path, "SELECT count(*) FROM cells") == [(3,)]


def test_of_too_many_cells_the_newest_runs_stay(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_CELLS", 10)
    for number in range(4):
        remembered(path, *(result(f"a/{n}", 1.0) for n in range(4)), run=f"r{number}")
    assert rows(path, "SELECT id FROM runs") == [("r2",), ("r3",)]
    remembered(path, *(result(f"a/{n}", 1.0) for n in range(30)), run="big")
    assert rows(path, "SELECT id FROM runs") == [("big",)]
    assert rows(path, "SELECT count(*) FROM cells") == [(30,)]


def test_of_too_many_projects_those_that_ran_last_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_file, "KEPT_PROJECTS", 2)
    for number in range(4):
        file = tmp_path / f"p{number}.sqlite3"
        remembered(file, result("a/b", 1.0))
        os.utime(file, (number, number))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p2.sqlite3", "p3.sqlite3"]


def test_no_more_is_read_than_the_newest_cells(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        one = remembered(path, result(f"a/{number}", 1.0), run=f"r{number}")
    monkeypatch.setattr(history, "_READ_CELLS", 2)
    assert one.durations().cells == {"a/3": (1.0,), "a/2": (1.0,)}


def test_what_are_no_durations_are_left_out(path: Path) -> None:
    one = remembered(path, result("a/unit", 2.0))
    database = sqlite3.connect(path)
    for name, value in (("t", "'x'"), ("b", "x'00'"), ("m", "-1"), ("h", "1e30"), ("i", "9e999")):
        database.execute(f"INSERT INTO cells VALUES (1, 'a/{name}', 'passed', {value})")
    database.commit()
    database.close()
    assert one.durations() == Durations(cells={"a/unit": (2.0,)})


# --- a file that is none -----------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


def torn(path: Path) -> None:
    """A page in the middle is gone."""
    remembered(path, *(result(f"{n:0200}/unit", 1.0) for n in range(500)))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def foreign(path: Path) -> None:
    """Another program's."""
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE runs (x)")
    database.close()


def without_tables(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 1")
    database.close()


def with_a_trigger(path: Path) -> None:
    remembered(path, result("a/b", 2.0))
    database = sqlite3.connect(path)
    database.execute("CREATE TRIGGER t AFTER INSERT ON cells BEGIN DELETE FROM runs; END")
    database.close()


@pytest.mark.parametrize("make", [garbage, torn, foreign, without_tables, with_a_trigger])
@pytest.mark.parametrize("first", ["durations", "add"])
def test_a_damaged_file_is_set_aside_and_told_in_a_line(
    make: object, first: str, path: Path
) -> None:
    path.parent.mkdir(exist_ok=True)
    make(path)
    before = path.read_bytes()
    one = History(path, MATRIX)
    if first == "durations":
        told = one.durations().warning
    else:
        told = one.add(RunStamp("r1", 1.0), [result("a/b", 1.0)])
    assert told == (
        f"{path}: the history is damaged; it is now history.damaged, and a new one begins"
    )
    assert path.with_suffix(".damaged").read_bytes() == before
    assert remembered(path, result("a/b", 2.0)).durations() == Durations(cells={"a/b": (2.0,)})


def test_a_new_file_that_another_has_begun_meanwhile_is_not_set_aside(path: Path) -> None:
    path.parent.mkdir()
    garbage(path)
    old = path.stat().st_ino
    damage = sqlite3.DatabaseError("file is not a database")
    history_file.fault_of(path, damage, old)
    one = remembered(path, result("a/b", 2.0))
    history_file.fault_of(path, damage, old)  # of one that had opened the old file, too
    assert one.durations() == Durations(cells={"a/b": (2.0,)})


def test_a_file_of_a_newer_version_is_left_alone_and_told_once(path: Path) -> None:
    remembered(path, result("a/b", 2.0))
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 3")
    database.close()
    before = path.read_bytes()
    one = History(path, MATRIX)
    told = f"{path}: a newer version of distromatrix wrote this history; it is left alone"
    assert one.durations() == Durations(warning=told)
    assert one.add(RunStamp("r2", 1.0), [result("a/b", 1.0)]) == ""
    assert History(path, MATRIX).add(RunStamp("r2", 1.0), [result("a/b", 1.0)]) == told
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_of_an_older_version_is_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir()
    database = sqlite3.connect(path)
    for statement in history_file.STEPS[0]:
        database.execute(statement)
    database.execute("PRAGMA user_version = 1")
    database.execute("INSERT INTO runs VALUES (1, 'r0', 1.0, ?, '')", (MATRIX,))
    database.execute("INSERT INTO cells VALUES (1, 'a/b', 'passed', 2.0)")
    database.commit()
    database.close()
    assert History(path, MATRIX).durations() == Durations(cells={"a/b": (2.0,)})
    assert rows(path, "PRAGMA user_version") == [(2,)]
    assert rows(path, "SELECT count(*) FROM outcomes") == [(0,)]


def test_a_place_that_cannot_be_written_to_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file/h.sqlite3"
    told = History(path, MATRIX).add(RunStamp("r", 1.0), [result("a/b", 1.0)])
    assert told.startswith(f"{path}: the history of runs cannot be used: ")
    folder = tmp_path / "folder.sqlite3"
    folder.mkdir()
    told = History(folder, MATRIX).durations().warning
    assert told == f"{folder}: the history of runs cannot be used: unable to open database file"


def test_a_python_without_sqlite_ends_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    told = History(path, MATRIX).add(RunStamp("r", 1.0), [result("a/b", 1.0)])
    assert told.startswith(f"{path}: the history of runs cannot be used: import of sqlite3")


# --- several at once, and killed ---------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from distromatrix.model import CellResult, Verdict
from distromatrix.record.history import History, RunStamp
one = History(Path(sys.argv[1]), "matrix/default.yaml")
for turn in range(20):
    result = CellResult(id=f"d/{sys.argv[2]}", verdict=Verdict.PASSED, seconds=turn + 1.0)
    told = one.add(RunStamp(f"{sys.argv[2]}-{turn}", 1.0), [result]) or one.durations().warning
    assert not told, told
"""


def test_several_that_write_at_once_lose_nothing(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)])
        for number in range(3)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert rows(path, "SELECT count(*) FROM cells") == [(60,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_one_that_is_in_use_for_long_is_told_and_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = remembered(path, result("a/b", 2.0))
    monkeypatch.setattr(history_file, "_WAIT", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    told = f"{path}: the history of runs cannot be used: database is locked"
    assert one.durations() == Durations(warning=told)
    assert History(path, MATRIX).add(RunStamp("r2", 1.0), [result("a/b", 1.0)]) == told
    other.close()
    assert one.durations() == Durations(cells={"a/b": (2.0,)})


KILLED = """
import os, signal, sys
from pathlib import Path
from distromatrix.model import CellResult, Verdict
from distromatrix.record.history import History, RunStamp
def results():
    for n in range(60_000):  # more than fit into memory's pages: the file itself is written to
        yield CellResult(id=f"{n:0100}/unit", verdict=Verdict.PASSED, seconds=1.0)
    os.kill(os.getpid(), signal.SIGKILL)
History(Path(sys.argv[1]), "matrix/default.yaml").add(RunStamp("killed", 1.0), results())
"""


def test_one_that_is_killed_while_it_writes_leaves_what_was_there(path: Path) -> None:
    one = remembered(path, result("a/b", 2.0))
    size = path.stat().st_size
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.stat().st_size > size
    assert one.durations() == Durations(cells={"a/b": (2.0,)})
    assert rows(path, "SELECT id FROM runs") == [("r1",)]
    remembered(path, result("a/b", 4.0), run="r2")
    assert one.durations() == Durations(cells={"a/b": (2.0, 4.0)})


# --- where it is -------------------------------------------------------------------------------


@pytest.fixture
def no_fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DISTROMATRIX_FAKE", raising=False)
    yield


@pytest.mark.usefixtures("no_fake")
def test_each_project_has_a_file_among_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    one, other = tmp_path / "one/Größe x", tmp_path / "two/Größe x"
    for root in (one, other):
        (root / "matrix").mkdir(parents=True)
    found = History.of(one, one / MATRIX)
    assert found.matrix == MATRIX
    assert found.path is not None
    assert found.path.parent == tmp_path / "data/distromatrix/history"
    assert found.path.name.startswith("gr__e_x-")
    assert found.path != path_of(other)
    (tmp_path / "link").symlink_to(one)
    assert History.of(tmp_path / "link", tmp_path / "link" / MATRIX) == found
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("no_fake")
def test_a_user_without_a_home_and_the_fake_engine_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert path_of(tmp_path) is not None
    monkeypatch.setattr(history, "user_folder", lambda kind: None)
    assert path_of(tmp_path) is None
    monkeypatch.undo()
    monkeypatch.setenv("DISTROMATRIX_FAKE", "/nowhere")
    assert path_of(tmp_path) is None


@pytest.mark.usefixtures("no_fake")
def test_a_home_that_cannot_be_written_to_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/proc/home")
    one = History.of(tmp_path, tmp_path / MATRIX)
    assert str(one.path).startswith("/proc/home/.local/share/distromatrix/history/")
    assert one.durations() == Durations()
    assert one.add(RunStamp("r", 1.0), [result("a/b", 1.0)]) == ""
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/data")  # which somebody means to be there
    one = History.of(tmp_path, tmp_path / MATRIX)
    assert "cannot be used: No such file" in one.add(RunStamp("r", 1.0), [result("a/b", 1.0)])


def test_the_commit_is_that_which_is_checked_out(tmp_path: Path) -> None:
    one = History(tmp_path / "h.sqlite3", MATRIX)
    assert one.stamp("r", tmp_path).commit == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert one.stamp("r", tmp_path).commit == ""  # it has none yet
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    said = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert one.stamp("r", tmp_path).commit == said.stdout.strip() != ""
    assert History(None, MATRIX).stamp("r", tmp_path).commit == ""
