"""Suites that put programs which print without end in the place of those that our own commands
call: their cells end as they would, and none of it fills the host's memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest
from breaking_world import Project

from given import alpine_or_pulled

pytestmark = [pytest.mark.engine, pytest.mark.slow]
GIVEN_UP = "was given up: what a command of ours calls there prints without end"
MOST = 400 * 1024  # KiB; without the flood it is some ninety thousand

# busybox is all of them: a copy of it stays, for what the replacement itself is written in.
REPLACE = """cp /bin/busybox /bin/busybox-own
printf '#!/bin/busybox-own sh\\nexec /bin/busybox-own yes flood\\n' >/flood
chmod 755 /flood
for program in NAMES; do for at in /bin /sbin /usr/bin /usr/sbin; do
  [ ! -e $at/$program ] || { rm $at/$program; cp /flood $at/$program; }
done; done
[ "$(FIRST | /bin/busybox-own head -n 1)" = flood ] || exit 66
"""
HELPERS = REPLACE.replace("NAMES", "df uname ps kill find grep head sleep tar cat").replace(
    "FIRST", "df"
)
SHELL = REPLACE.replace("NAMES", "sh").replace("FIRST", "sh")


@pytest.fixture(
    params=["docker", pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.slow])]
)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "p", alpine_or_pulled().parent, engine=request.param)
    yield made
    made.clean()


def test_what_prints_without_end_fills_nothing(project: Project) -> None:
    suites = {
        "helpers-green": HELPERS,
        "helpers-red": {"run": f"{HELPERS}exit 3", "debug": "df"},
        "helpers-hung": f"{HELPERS}/bin/busybox-own sleep 300",
        "helpers-left": f"{HELPERS}/bin/busybox-own sleep 300 & exit 3",
        "shell-red": {"run": f"{SHELL}exit 3", "debug": "true", "restore": "true"},
        "shell-hung": f"{SHELL}/bin/busybox-own sleep 300",
    }
    limits = {"network": False, "memory": "64M", "timeout": "5s"}
    project.suites(suites, defaults=limits)
    with Path(project.root.parent, "said").open("wb") as said:
        args = ("run", "-j", "6", "--retries", "0")
        process = project.start(*args, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        late = Timer(400.0, process.kill)
        late.start()
        _, status, used = os.wait4(process.pid, 0)
        late.cancel()
    assert os.waitstatus_to_exitcode(status) == 1, Path(said.name).read_bytes()[-2000:]
    found = {name: cell["verdict"] for name, cell in project.results().items()}
    reasons = {name: cell["reason"] for name, cell in project.results().items()}
    assert found == {name: "passed" if "green" in name else "failed" for name in suites}, reasons
    says = {"green": "", "red": "status 3", "hung": "timed out", "left": "status 3"}
    assert [n for n, why in reasons.items() if says[n.partition("-")[2]] not in why] == [], reasons
    for name, hooks in (("helpers-red", 1), ("shell-red", 2)):  # after the first, none is called
        warned = project.results()[name]["warnings"]
        assert [GIVEN_UP in line for line in warned] == [True] * hooks, warned
    assert used.ru_maxrss < MOST
    assert project.left() == []
