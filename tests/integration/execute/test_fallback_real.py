"""Containers and direct guests of a real distribution in one run: cells by what their suites
need, and single cases by what they say in a JUnit file."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from distromatrix.project.project import host_facts
from given import unobtainable
from quick_python import quick_python

pytestmark = [pytest.mark.engine, pytest.mark.guest]

MATRIX = """\
product: .
distros: [debian-12]
suites:
  plain: {run: ./own-kernel && exit 1; true}
  kernel:
    needs: [own-kernel: ">=6.1"]
    setup: {in: container, run: 'echo "on $DISTROMATRIX_ENGINE" >/opt/made; rm /etc/issue'}
    run: ./own-kernel && grep -qx "on docker" /opt/made && test ! -e /etc/issue
  too-new: {needs: [own-kernel: ">=6.2"], run: 'echo it ran'}
  whole:
    setup: {in: container, run: 'echo "on $DISTROMATRIX_ENGINE" >made'}
    run: grep -qx "on docker" made && ./cases && echo run >made
  listed: {cases: true, run: ./cases}
"""
OWN_KERNEL = """\
#!/bin/sh -e
# Debian 12 has a kernel 6.1; a container has the host's, and none of its modules
case $(uname -r) in 6.1.*) ;; *) exit 1 ;; esac
grep -q "Debian" /proc/version && test -d "/lib/modules/$(uname -r)"
"""
CASES = """\
#!/bin/sh -e
# A suite that is none of pytest's.
found=
tell() { found="$found<testcase classname='c' name='$1'>$2</testcase>"; }
wanted() { test -z "$DISTROMATRIX_CASES" || grep -qx "c::$1" "$DISTROMATRIX_CASES"; }
if wanted plain; then echo "plain ran"; tell plain; fi
if wanted module; then
  if ./own-kernel; then modprobe dummy && grep -q ^dummy /proc/modules && tell module
  else tell module "<skipped message='needs: kernel-modules, says the suite'/>"; fi
fi
if wanted mount; then
  if mount -t tmpfs none /mnt 2>/dev/null; then tell mount
  else tell mount "<skipped message='needs: mount'/>"; fi
fi
echo "<testsuite>$found</testsuite>" >"$DISTROMATRIX_JUNIT"
"""


@pytest.fixture
def product(tmp_path: Path) -> Path:
    if why := host_facts().guests["qemu"]:
        unobtainable(why)
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/default.yaml").write_text(MATRIX)
    for name, text in (("own-kernel", OWN_KERNEL), ("cases", CASES)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_one_run_joins_what_containers_and_guests_say(product: Path) -> None:
    command = [quick_python(), "-m", "distromatrix", "run", "-C", str(product), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    cells = {cell["id"].partition("/")[2]: cell for cell in said["cells"]}
    shown = {name: (cell["verdict"], cell["engine"]) for name, cell in cells.items()}
    assert shown == {
        "plain": ("passed", "docker"),
        "kernel": ("passed", "qemu"),
        "too-new": ("skipped", "qemu"),
        "whole": ("passed", "docker"),
        "listed": ("passed", "docker"),
    }, done.stderr
    assert (
        "needs own-kernel >=6.2, and the kernel of its guest is 6.1." in cells["too-new"]["reason"]
    )
    assert done.returncode == 1  # for that one
    for how in ("whole", "listed"):
        none = dict.fromkeys(("failed", "skipped", "xfailed", "xpassed"), 0)
        assert cells[how]["cases"] == {"passed": 3, **none}
        assert cells[how]["needing"] == []
        (there,) = cells[how]["fallback"]
        assert (there["engine"], there["how"], there["verdict"]) == ("qemu", how, "passed")
        assert there["cases"] == ["c::module", "c::mount"]
        folder = product / ".distromatrix/runs/latest/cells/debian-12" / how
        assert "plain ran" in (folder / "log.txt").read_text()
        log = (folder / "guest/qemu/log.txt").read_text()
        assert ("plain ran" in log) is (how == "whole")
