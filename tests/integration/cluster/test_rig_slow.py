"""The cluster that other tests are tried on does what they count on: its hosts are apart, break
when they are told to, and leave nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_world import until

from cluster_rig import PREFIX, Rig, cluster
from distromatrix.engines.docker.connection.ping import answers
from given import ROOT, alpine_or_pulled
from leftovers import groups

pytestmark = [pytest.mark.engine, pytest.mark.slow]

IMAGE = "rig/alpine:test"
# What begins a cluster, says where, and is then killed.
KILLED = """from cluster_rig import cluster
with cluster(1) as rig:
    print(rig.folder, flush=True)
    input()
"""


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Two workers, who notice after 12 seconds that a cable was pulled."""
    with cluster(2, environ={"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s"}) as opened:
        for host in opened.hosts.values():
            host.call("docker", "import", str(alpine_or_pulled()), IMAGE)
        yield opened
    assert gone(opened.folder)


def gone(folder: Path) -> bool:
    """No file, process, control group or rule has that name."""
    rules = b"".join(
        subprocess.check_output(["iptables", "-w", "-t", table, "-S"])
        for table in ("nat", "filter")
    ).decode()
    said = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said.append(one.read_bytes())
        except OSError:
            continue
    alive = any(str(folder).encode() in one for one in said)
    return not (folder.exists() or groups(folder.name) or folder.name in rules or alive)


def docker(rig: Rig, name: str, *args: str) -> str:
    """What Docker says to the worker of that host, called by a task of its own."""
    with rig.client() as client:
        address = rig.known(client)[name]
        words = ["docker", *args]
        task = client.submit(subprocess.check_output, words, workers=[address], pure=False)
        return bytes(task.result(120)).decode()


def test_every_worker_has_an_engine_and_a_name_of_its_own(rig: Rig) -> None:
    for name in rig.hosts:
        said = docker(rig, name, "run", "--rm", IMAGE, "cat", "/etc/alpine-release")
        assert said.startswith("3."), said
        docker(rig, name, "run", "--detach", "--name", f"on-{name}", IMAGE, "sleep", "1000")
    assert rig.left() == {name: [f"container on-{name}"] for name in rig.hosts}
    known = [host.call("sh", "-c", "hostname; cat /etc/machine-id") for host in rig.hosts.values()]
    assert len({Path("/etc/machine-id").read_text(), *known}) == 1 + len(known)
    for name in rig.hosts:
        docker(rig, name, "rm", "--force", f"on-{name}")
    assert rig.left() == {}


def test_an_engine_is_killed_and_comes_back_with_what_it_had(rig: Rig) -> None:
    docker(rig, "h1", "run", "--detach", "--name", "kept", IMAGE, "sleep", "1000")
    rig.kill_engine("h1")
    assert not answers(rig.hosts["h1"].socket)
    assert answers(rig.hosts["h2"].socket)
    rig.start_engine("h1")
    assert rig.left() == {"h1": ["container kept"]}
    docker(rig, "h1", "rm", "--force", "kept")


def test_a_worker_is_killed_with_all_that_it_began(rig: Rig) -> None:
    with rig.client() as client:
        before = rig.known(client)
        words = ["sh", "-c", "setsid sleep 1000 & sleep 1000"]
        task = client.submit(subprocess.call, words, workers=[before["h1"]], pure=False)
        until(lambda: len(rig.hosts["h1"].processes()) >= 6)
        rig.kill_worker("h1")
        assert rig.hosts["h1"].processes() == []
        until(lambda: "h1" not in rig.known(client))
        del task
        rig.start_worker("h1")
        until(lambda: rig.known(client).get("h1") not in (None, before["h1"]))


def test_a_cable_is_pulled_and_plugged_in_again(rig: Rig) -> None:
    with rig.client() as client:
        before = rig.known(client)
        rig.cut("h2")
        until(lambda: "h2" not in rig.known(client))
        assert "h1" in rig.known(client)
        rig.heal("h2")
        # Dask's worker ends when it has lost its scheduler; who wants it back begins it again.
        worker = rig.hosts["h2"].dask
        assert worker is not None
        until(lambda: worker.poll() is not None)
        rig.start_worker("h2")
        until(lambda: rig.known(client).get("h2") not in (None, before["h2"]))


def test_a_stranger_is_kept_out(rig: Rig) -> None:
    with pytest.raises(OSError, match="certificate"):
        rig.client("stranger", timeout=30)


def test_a_scheduler_is_killed_and_begun_again(rig: Rig) -> None:
    with rig.client() as client:
        rig.kill_scheduler()
        until(lambda: client.status != "running")
        workers = [host.dask for host in rig.hosts.values() if host.dask]
        until(lambda: all(worker.poll() is not None for worker in workers))
    rig.start_scheduler()
    for name in rig.hosts:
        rig.start_worker(name)
    with rig.client() as client:
        until(lambda: set(rig.known(client)) == set(rig.hosts))


def test_what_is_left_of_one_that_was_killed_goes_with_the_next() -> None:
    path = os.pathsep.join((str(ROOT / "tests"), str(ROOT / "runner")))
    words = [sys.executable, "-c", KILLED]
    pipe = subprocess.PIPE
    environ = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, env=environ, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.name.startswith(PREFIX)
        assert folder.parent == Path(tempfile.gettempdir())
        assert not gone(folder)
        process.send_signal(signal.SIGKILL)
    with cluster(0):
        until(lambda: gone(folder))
