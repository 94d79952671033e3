"""A failed cell's machine in a file, opened again: the same files, and nothing left of either."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from breaking_world import Project

from distromatrix.engines import open_engine
from quick_python import quick_python

pytestmark = pytest.mark.engine
PODMAN = pytest.param("podman", marks=(pytest.mark.podman, pytest.mark.slow))

CHANGES = """\
echo trace >left-here
echo new >/opt/new && chown 7:8 /opt/new && chmod 4750 /opt/new
ln /opt/new /opt/hard && ln -s new /opt/soft && mkfifo /opt/pipe
mv /etc/motd /etc/moved && rm /etc/issue && mkdir /etc/issue
touch -r /etc/profile /tmp/time && sed -i s/PATH/path/ /etc/profile
touch -r /tmp/time /etc/profile
echo kept >"$DISTROMATRIX_ARTIFACTS/kept"
exit 1
"""
LOOK = """\
cat left-here hello; echo $COLOUR $DISTROMATRIX_CELL; cat $DISTROMATRIX_ARTIFACTS/kept
stat -c '%n %F %a %u:%g %h' /opt/* /etc/issue
test ! -e /etc/motd && test -s /etc/moved && readlink /opt/soft
grep -c "export path" /etc/profile
exit 7
"""
SEEN = """\
trace
hello
light green CELL
kept
/opt/hard regular file 4750 7:8 2
/opt/new regular file 4750 7:8 2
/opt/pipe fifo 644 0:0 1
/opt/soft symbolic link 777 0:0 1
/etc/issue directory 755 0:0 2
new
1
"""


def left_of_shells(engine: str) -> list[str]:
    """What shells from files have left on an engine; others may have one open meanwhile."""
    opened = open_engine(engine)
    try:
        return [one.name for one in opened.leftovers() if "distromatrix-from" in one.name]
    finally:
        opened.close()


@pytest.mark.parametrize("engine", ["docker", PODMAN])
def test_a_containers_changes_are_opened_elsewhere_as_they_were(
    project: Project, tmp_path: Path, engine: str
) -> None:
    project.engine = engine
    suites = {
        "s": {"run": CHANGES, "env": {"COLOUR": "light green"}},
        "big": "head -c 3000000 /dev/urandom >big; exit 1",
    }
    project.suites(suites)
    assert project.call("run", "--export", "failed", "--export-size", "2M").code == 1
    found = project.results()
    assert {name: cell["verdict"] for name, cell in found.items()} == {
        "s": "failed",
        "big": "failed",
    }
    assert "exported" not in found["big"]
    (warning,) = found["big"]["warnings"]
    assert warning == "its machine was not exported: it takes more than 2M (--export-size)"
    path = shutil.copy(project.latest / found["s"]["exported"]["file"], tmp_path / "sent.tar")
    seen = project.call("shell", "--from", str(path), input=LOOK)
    shown = SEEN.replace("CELL", f"{project.distro}/s")
    assert (seen.code, seen.out) == (7, shown), seen.err
    assert project.left() == [] and left_of_shells(engine) == []


def test_a_disk_that_takes_no_more_leaves_no_file_and_the_verdict(project: Project) -> None:
    project.suites({"big": "head -c 3000000 /dev/urandom >big; exit 1"})
    project.before = ("prlimit", "--fsize=2000000", "--")
    assert project.call("run", "--export", "failed").code == 1
    (cell,) = project.every_result()
    assert (cell["verdict"], cell["reason"]) == ("failed", "exit status 1")
    assert cell["warnings"] == ["its machine was not exported: File too large"]
    assert not list(project.latest.rglob("*machine*"))
    assert project.left() == []


MATRIX = """\
product: .
distros: [debian-12]
defaults: {network: false, memory: 512M}
suites:
  s: {run: 'echo trace >left-here; uname -r; false', needs: [own-kernel],
      user: tester}
"""


@pytest.mark.slow
@pytest.mark.guest
def test_a_guests_files_are_opened_elsewhere_with_its_kernel(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/default.yaml").write_text(MATRIX)

    def call(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        command = [quick_python(), "-m", "distromatrix", *words]
        return subprocess.run(
            command, cwd=tmp_path, input=said, capture_output=True, text=True, check=False
        )

    assert call("run", "--export", "failed").returncode == 1
    latest = tmp_path / ".distromatrix/runs/latest"
    (cell,) = json.loads((latest / "results.json").read_text())["cells"]
    look = "cat left-here; id -un; uname -r; exit 7"
    seen = call("shell", "--from", str(latest / cell["exported"]["file"]), said=look)
    kernel = (latest / "cells/debian-12/s/log.txt").read_text().split()[0]
    assert (seen.returncode, seen.stdout) == (7, f"trace\ntester\n{kernel}\n"), seen.stderr
    assert left_of_shells("docker") == []
