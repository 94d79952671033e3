"""Where Podman's socket is, how its service comes up, and what is said where it cannot."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from distromatrix.engines import open_engine
from distromatrix.engines.docker import podman
from distromatrix.errors import EngineUnavailableError

SERVICE = """#!/usr/bin/env python3
import os, socket, sys
with open(os.environ["STARTED"], "a") as file:
    file.write(" ".join(sys.argv[1:]) + f" {os.getsid(0) == os.getpid()}\\n")
if os.environ.get("BROKEN"):
    sys.exit(os.environ["BROKEN"])
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[-1].removeprefix("unix://"))
server.listen()
server.settimeout(10)
while True:
    try:
        one, _ = server.accept()
    except TimeoutError:
        break
    one.recv(65536)
    one.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK")
    one.close()
"""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that tells how often a `podman` that is this test's was called, and how."""
    program = tmp_path / "bin/podman"
    program.parent.mkdir()
    program.write_text(SERVICE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    monkeypatch.setattr(podman, "log_file", lambda: tmp_path / "log/podman.log")
    monkeypatch.setattr(podman, "commands", lambda path: (_by_hand(path),))
    return tmp_path / "started"


def _by_hand(path: Path) -> tuple[str, ...]:
    return ("podman", "system", "service", f"--time={podman.IDLE}", f"unix://{path}")


def test_what_does_not_answer_is_started_once_in_a_session_of_its_own(
    started: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run/podman.sock"
    several = [threading.Thread(target=podman.start, args=(path,)) for _ in range(4)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert podman.answers(path)
    assert started.read_text() == f"system service --time=600 unix://{path} True\n"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_service_that_does_not_come_up_is_answered_with_its_last_words(
    started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "Error: no such storage driver")
    monkeypatch.setattr(podman, "PATIENCE", 600.0)  # it is not waited for what has ended
    with pytest.raises(EngineUnavailableError, match="no such storage driver"):
        podman.start(tmp_path / "podman.sock")


def test_without_podman_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(podman, "socket_path", lambda _: tmp_path / "none.sock")
    monkeypatch.delenv("CONTAINER_HOST", raising=False)
    engine = open_engine("podman")
    with pytest.raises(EngineUnavailableError, match="podman is not installed"):
        engine.facts()


def test_podmans_own_variable_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/theirs.sock")
    engine = open_engine("podman")
    with pytest.raises(EngineUnavailableError, match=r"theirs\.sock: install Podman"):
        engine.ping()


def test_a_users_socket_lies_in_a_folder_that_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(podman.socket_path({})).startswith("/run/") or os.geteuid() != 0
    own = os.geteuid()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    if own == 0:
        monkeypatch.setattr(podman.os, "geteuid", lambda: 4321)
    else:
        tmp_path.chmod(0o755)
    foreign = Path("/run") if own == 0 else Path("/")
    bare = podman.socket_path({"XDG_RUNTIME_DIR": str(foreign)})
    assert bare.parent == tmp_path / f"distromatrix-{podman.os.geteuid()}"
    if own == 0:
        os.chown(tmp_path, 4321, 4321)
    session = podman.socket_path({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert session == tmp_path / "podman/podman.sock"


def test_a_folder_of_somebody_elses_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    with pytest.raises(EngineUnavailableError, match="or a link to one"):
        podman.start(tmp_path / "link/podman.sock")


def test_with_systemd_its_socket_is_started_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman.Path, "is_dir", lambda self: True)
    first, second = podman.commands(Path("/run/p.sock"))
    assert first[0] == "systemctl"
    assert first[-2:] == ("start", "podman.socket")
    assert second[:3] == ("podman", "system", "service")
    monkeypatch.setattr(podman.Path, "is_dir", lambda self: False)
    assert podman.commands(Path("/run/p.sock")) == (second,)


def test_nothing_answers_where_nothing_listens(tmp_path: Path) -> None:
    assert not podman.answers(tmp_path / "none")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "mute"))
        server.listen()
        assert not podman.answers(tmp_path / "mute", timeout=0.1)
