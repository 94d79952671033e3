"""How bootstraps are run and what their failures mean, with a stand-in for the tool that prints
what the real one prints."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from images_fakes import World, distro

from distromatrix.errors import ImageError
from distromatrix.images.base.bootstrap import OutOfReachError, bootstrap
from distromatrix.model import Bootstrap

SOURCE = Bootstrap(tool="mmdebstrap", suite="bookworm", options=("--components=main contrib",))


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a script in the place of mmdebstrap."""

    def install(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "mmdebstrap").write_text("#!/bin/sh\n" + script)
        (folder / "mmdebstrap").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return install


def build(tmp_path: Path, cancelled: threading.Event | None = None, timeout: float = 60.0) -> Path:
    folder = tmp_path / "build"
    return bootstrap(SOURCE, distro(SOURCE), "", folder, cancelled or threading.Event(), timeout)


def running(mark: str) -> list[bytes]:
    shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, check=True).stdout
    return [line for line in shown.splitlines() if mark.encode() in line]


def test_the_tool_writes_the_root_filesystem_and_speaks_english(tmp_path: Path, tool) -> None:
    tool('for a; do case "$a" in */rootfs.tar) echo "$LC_ALL" >"$a";; esac; done\n')
    assert build(tmp_path).read_text() == "C\n"


def test_a_missing_tool_lets_the_next_source_be_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OutOfReachError, match="apt-get install mmdebstrap"):
        build(tmp_path)


def test_a_mirror_out_of_reach_lets_the_next_source_be_tried(tmp_path: Path, tool) -> None:
    tool("echo \"  Could not resolve 'm.invalid'\"; echo 'E: mmdebstrap failed to run'; exit 1\n")
    with pytest.raises(OutOfReachError, match=r"not reachable.*m\.invalid"):
        build(tmp_path)


def test_an_expired_release_file_is_answered_with_the_option_that_helps(
    tmp_path: Path, tool
) -> None:
    tool("echo 'E: Release file for http://m/InRelease is expired (invalid since 16d)'; exit 1\n")
    with pytest.raises(ImageError, match="Acquire::Check-Valid-Until"):
        build(tmp_path)


def test_any_other_failure_is_told_in_the_tools_words_with_its_log(tmp_path: Path, tool) -> None:
    tool(
        "echo 'E: could not read something'\n"
        "echo 'E: apt-get update --error-on=any failed'\n"
        "echo 'E: mmdebstrap failed to run'; exit 25\n"
    )
    with pytest.raises(ImageError, match="status 25: could not read") as caught:
        build(tmp_path)
    assert "mmdebstrap failed to run" in caught.value.log


@pytest.mark.parametrize("how", ["cancelled", "timeout"])
def test_a_build_that_is_stopped_leaves_no_process_behind(tmp_path: Path, tool, how: str) -> None:
    begun = tmp_path / "begun"  # (its numbers of processes may be those of a namespace)
    tool(f"trap '' TERM; tail -f {tmp_path}/bin/mmdebstrap & touch {begun}; wait\n")
    cancelled = threading.Event()

    def stop() -> None:
        while not begun.exists():
            time.sleep(0.02)
        cancelled.set()

    if how == "cancelled":
        threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(ImageError, match="cancelled" if how == "cancelled" else "did not end"):
        build(tmp_path, cancelled, 60.0 if how == "cancelled" else 1.0)
    assert begun.exists()
    deadline = time.monotonic() + 5
    while running(str(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path, tool) -> None:
    tool('for a; do case "$a" in */rootfs.tar) : >"$a";; esac; done\n')
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "left").touch()
    build(tmp_path)
    assert not (tmp_path / "build" / "left").exists()


def test_nothing_large_stays_in_the_cache(tmp_path: Path, tool) -> None:
    tool('for a; do case "$a" in */rootfs.tar) echo x >"$a";; esac; done\n')
    world = World(tmp_path / "cache")
    base = world.images().base(distro(SOURCE))
    assert base.used.source == "bootstrap"
    assert not list((tmp_path / "cache").rglob("rootfs.tar"))
