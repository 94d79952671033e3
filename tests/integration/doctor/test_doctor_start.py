"""doctor starts a real dockerd where no init system does, apart from the machine's own."""

import os
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.doctor.command import run_command
from distromatrix.doctor.host import dockerd_by_hand
from distromatrix.doctor.start import start_engine
from distromatrix.engines.docker.connection.ping import ping
from distromatrix.errors import InfrastructureError

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a dockerd of its own"),
    pytest.mark.skipif(shutil.which("dockerd") is None, reason="no dockerd is installed here"),
]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the second dockerd lives; it is ended afterwards."""
    folder = tmp_path_factory.mktemp("dockerd")
    yield folder
    pid = folder / "pid"
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGTERM)
        deadline = time.monotonic() + 20
        while pid.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def test_dockerd_is_started_without_an_init_system_and_awaited(folder: Path) -> None:
    socket = folder / "docker.sock"
    arguments = (
        f"--data-root {folder}/data --exec-root {folder}/exec --pidfile {folder}/pid"
        f" -H unix://{socket} --bridge=none --iptables=false"
    )
    said: list[str] = []
    start_engine(
        # In a network of its own: with --bridge=none dockerd removes the docker0 that it finds.
        [f"unshare --net sh -c {shlex.quote(dockerd_by_hand(arguments, folder / 'log'))}"],
        run_command,
        said.append,
        answers=lambda: ping(socket),
        log=folder / "log",
    )
    assert ping(socket)
    dockerd = int((folder / "pid").read_text())
    assert os.getsid(dockerd) != os.getsid(0)
    assert len(said) == 1


def test_a_dockerd_that_cannot_start_is_shown_with_its_own_words(folder: Path) -> None:
    with pytest.raises(InfrastructureError, match="unknown flag: --no-such-flag"):
        start_engine(
            [dockerd_by_hand("--no-such-flag", folder / "log")],
            run_command,
            lambda _: None,
            answers=lambda: False,
            log=folder / "log",
            patience=1.0,
        )
