"""Machines, clients and sessions that end before they should."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from bench_world import World, said, until

from distromatrix.errors import (
    Fault,
    ImageError,
    InfrastructureError,
    InputError,
    MachineGoneError,
)
from distromatrix.model import Verdict
from distromatrix.testing.bench.remote import RemoteBench, Server
from distromatrix.testing.contract import MachineRequest


def test_a_machine_that_died_is_not_made_anew_and_the_others_go_on(world: World) -> None:
    bench = world.bench()
    bench.expect((), machines=True)
    one = bench.machine(MachineRequest(distro="one"), "main t")
    for left in world.engine.leftovers():
        world.engine.remove(left)
    again = bench.machine(MachineRequest(distro="one"), "main u")
    assert again.name == one.name
    with pytest.raises(MachineGoneError):
        world.engine.join(again)
    assert (
        said(world.engine.join(bench.machine(MachineRequest(distro="two"), "main u")), "echo x")
        == b"x\n"
    )
    bench.end()


@pytest.mark.parametrize(
    "error",
    [
        InputError(Fault("f", 1, 2, "wrong", "do")),
        ImageError("no", phase="packages", log="said", transient=False),
        MachineGoneError("gone", oom=True),
        InfrastructureError("x", transient=False),
    ],
)
def test_errors_travel_whole(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.__dict__) == (str(error), error.__dict__)


CLIENT = """
import sys
from distromatrix.testing.contract import MachineRequest
from distromatrix.testing.bench.remote import RemoteBench
bench = RemoteBench(sys.argv[1])
bench.machine(MachineRequest(distro="one"), "gw0 t")
print("has it", flush=True)
bench.run_cell("one/slow", "gw0 u")
"""


def test_a_client_that_is_killed_blocks_nobody(world: World, tmp_path: Path) -> None:
    direct = world.bench()
    direct.expect(("one/slow", "one/good"), machines=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(partial(getattr, direct), Path(folder))
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT, server.address], stdout=subprocess.PIPE
        ) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == b"has it\n"
            client.send_signal(signal.SIGKILL)
        direct.worker_gone("gw0")
        other = RemoteBench(server.address)
        assert other.run_cell("one/good", "gw1 t").result.verdict is Verdict.PASSED
        other.close()
        server.close()
        direct.end()


def test_a_client_is_told_at_once_that_all_has_ended(world: World) -> None:
    direct = world.bench()
    direct.expect((), machines=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(partial(getattr, direct), Path(folder))
        client = RemoteBench(server.address)
        client.machine(MachineRequest(distro="one"), "gw0 t")
        direct.end()
        with pytest.raises(InfrastructureError, match="ended"):
            client.machine(MachineRequest(distro="one"), "gw0 u")
        server.close()
    late = RemoteBench(server.address)
    with pytest.raises(InfrastructureError, match="ended"):
        late.expect((), machines=True)
    client.close()


OWNER = """
import sys
from pathlib import Path
from distromatrix.load.settings import load_settings
from distromatrix.model import Selection
from distromatrix.project.project import load_project
from distromatrix.testing.contract import MachineRequest
from distromatrix.testing.bench.direct import DirectBench
settings = load_settings()
project = load_project(Path(), None, settings)
bench = DirectBench(plan=project.plan(Selection()), settings=settings, distros=lambda: ())
bench.expect((), machines=True)
bench.machine(MachineRequest(distro="one", suite="good"), "main t")
bench.fresh(MachineRequest(distro="one"), "main t")
print("open", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_session_left_is_removed_by_the_next(world: World) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=pipe, stdout=pipe) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        left = set(world.machines())
        assert len(left) == 2
        os.kill(owner.pid, signal.SIGKILL)
    bench = world.bench()
    bench.expect((), machines=True)
    bench.machine(MachineRequest(distro="two"), "main t")
    until(lambda: not left & set(world.machines()))
    bench.end()
