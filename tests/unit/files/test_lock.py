"""Locks between processes, and that they are taken in one way alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

import distromatrix
from distromatrix.files.lock import InUseError, hold, is_held, take


def test_one_has_it_or_several_share_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path):
        assert is_held(path)
        for shared in (True, False):
            with pytest.raises(InUseError), hold(path, shared=shared, wait=0):
                pass
    with hold(path, shared=True), hold(path, shared=True, wait=0):
        with pytest.raises(InUseError):
            take(path, wait=0.1)
        assert is_held(path)
    assert not is_held(path)
    assert path.stat().st_mode & 0o077 == 0


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    path, waiting, got = tmp_path / "lock", Event(), []

    def wait() -> None:
        waiting.set()
        for limit in (None, 60):
            with hold(path, wait=limit):
                got.append(limit)

    with hold(path):
        thread = Thread(target=wait)
        thread.start()
        assert waiting.wait(60)
        assert got == []
    thread.join(60)
    assert got == [None, 60]


def test_the_kernel_lets_go_of_it_when_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import sys, time; from pathlib import Path; from distromatrix.files.lock import take; "
    code += "take(Path(sys.argv[1])); print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            assert is_held(path)
        finally:
            other.kill()
    assert not is_held(path)


def test_no_link_is_followed_to_a_lock(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    (tmp_path / "lock").symlink_to("mine")
    with pytest.raises(OSError, match="symbolic links"):
        take(tmp_path / "lock")
    assert is_held(tmp_path / "lock")  # it is nobody's who would let us look
    assert not is_held(tmp_path / "nothing")


def test_a_lock_is_not_inherited(tmp_path: Path) -> None:
    fd = take(tmp_path / "lock")
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_locks_and_files_that_are_there_when_they_are_whole_are_made_in_one_place() -> None:
    package = Path(distromatrix.__file__).parent
    own = re.compile(r"fcntl\.flock|FileLock|LOCK_EX|\.part\"")
    found = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if own.search(file.read_text())
    }
    assert {name for name in found if not name.startswith("files/")} == set()
