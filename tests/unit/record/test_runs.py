"""Run folders: a lock is what makes a run live."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distromatrix.errors import InputError
from distromatrix.record.folder import RunFolder, all_runs, find_run, is_alive

HOLD = """
import sys, time
from pathlib import Path
from distromatrix.record.folder import RunFolder
with RunFolder.create(Path(sys.argv[1])) as folder:
    print(folder.path, flush=True)
    time.sleep(60)
"""


def test_a_run_lives_until_its_lock_is_let_go(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as folder:
        assert is_alive(folder.path)
    assert not is_alive(folder.path)


def test_a_killed_run_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    path = Path(child.stdout.readline().strip())
    assert is_alive(path)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not is_alive(path)


def test_a_folder_that_is_gone_is_dead(tmp_path: Path) -> None:
    assert not is_alive(tmp_path / "gone")


def test_the_state_folder_ignores_itself_and_latest_points_at_the_newest(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path), RunFolder.create(tmp_path) as second:
        assert (tmp_path / ".distromatrix/.gitignore").read_text() == "*\n"
        latest = tmp_path / ".distromatrix/runs/latest"
        assert latest.resolve() == second.path.resolve()
        assert len(list(all_runs(tmp_path))) == 2


def test_a_living_run_cannot_be_resumed(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as folder, pytest.raises(InputError, match="still running"):
        RunFolder.lock(folder.path, wait=0.0)


def test_runs_are_found_by_the_beginning_of_their_id(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as folder:
        assert find_run(tmp_path, folder.id[:-1]) == folder.path
        assert find_run(tmp_path, "latest") == folder.path
        with pytest.raises(InputError, match="no such run"):
            find_run(tmp_path, "x")


def test_no_run_yet_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="distromatrix run"):
        find_run(tmp_path, None)
