"""Six distributions at once: cells, machines and testinfra, over real workers."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from pytest_sessions import Sessions

pytestmark = [pytest.mark.engine, pytest.mark.slow]
DISTROS = ("alpine-3.20", "debian-11", "debian-12", "debian-13", "debian-testing", "debian-sid")
TESTS = """
import pytest

testinfra_hosts = ["distromatrix://*"]

@pytest.mark.parametrize("n", range(20))
def test_release(host, n):
    release = host.file("/etc/os-release")
    assert release.exists and release.user == "root"
    assert host.system_info.distribution in ("alpine", "debian")

def test_facts(machine, distro):
    said = machine.run(". /etc/os-release; echo $ID", check=True).stdout.strip()
    assert said == distro.family

def test_changes(fresh_machine):
    fresh_machine.run("rm -rf /etc/os-release", check=True)

@pytest.mark.distros("debian-*", suite="good")
def test_prepared(machine):
    assert machine.run("cat hello").stdout == "hello\\n"
"""


def test_six_distributions_share_workers(sessions: Sessions) -> None:
    sessions.suites({"good": "cat /etc/os-release; sleep 1"}, distros=list(DISTROS))
    sessions.tests(TESTS)
    for options in (("-n", "auto"), ("-n", "8"), ("-p", "no:xdist")):
        process = sessions.begin(*options)
        most = 0
        while process.poll() is None:
            most = max(most, len(sessions.machines()))
            time.sleep(0.1)
        done = sessions.end(process)
        assert done.counts == {"passed": 6 + 120 + 6 + 6 + 5}, done.said
        assert most >= len(DISTROS)
        ran = Counter(node for nodes in sessions.ran().values() for node in nodes)
        assert set(ran.values()) == {1}
        assert sessions.machines() == []
