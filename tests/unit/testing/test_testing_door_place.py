"""Where doors are made, and what becomes of those whose process was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from distromatrix.testing.bench import rendezvous as door
from distromatrix.testing.bench.rendezvous import Rendezvous, knock, sweep_doors
from given import FEW_PLUGINS

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("quick")


def test_a_long_temporary_folder_is_no_place_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    made = Rendezvous(lambda _: "here")
    try:
        assert knock(made.address) == "here"
        assert not list(long.iterdir())
    finally:
        made.close()


def test_a_session_with_workers_that_needs_no_machines_needs_no_door(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", FEW_PLUGINS)
    pytester.makepyfile(test_it="def test_it(): pass")
    pytester.makeconftest(
        "from distromatrix.testing.bench import rendezvous as door\n"
        "def refuse(): raise OSError('no space left')\n"
        "door._short_folder = refuse\n"
    )
    pytester.runpytest_subprocess("-n1").assert_outcomes(passed=1)


def test_where_no_folder_can_be_made_that_is_what_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError("read-only")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(PermissionError):
        door._short_folder()


DIES = """
import os
from distromatrix.testing.bench.rendezvous import Rendezvous
print(Rendezvous(lambda _: "").folder, flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_swept_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(prefix="dm-") as place:
        monkeypatch.setattr(tempfile, "tempdir", place)
        killed = subprocess.run(
            [sys.executable, "-c", DIES],
            env={**os.environ, "TMPDIR": place},
            capture_output=True,
            text=True,
            check=False,
        )
        dead = Path(killed.stdout.strip())
        assert dead.is_dir()
        living, other = Rendezvous(lambda _: "there"), Path(place, "distromatrix-other")
        other.mkdir()
        mine = Rendezvous(lambda _: "here")
        try:
            sweep_doors()
            assert not dead.exists()
            assert other.exists()
            assert knock(living.address) == "there"
        finally:
            living.close()
            mine.close()
