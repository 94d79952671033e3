"""An engine at the other end of ssh: an ssh of ours plays it, and leads to a server in this
process."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.engines.docker.connection.api import DOCKER, PODMAN, Api
from distromatrix.engines.docker.connection.ssh import SshHost
from distromatrix.engines.docker.connection.stream import AttachStream
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.errors import EngineUnavailableError

BRIDGE = """#!{python}
import json, os, select, socket, sys
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
there = socket.create_connection(("127.0.0.1", {port}))
waiting = [0, there]
while there in waiting:
    for one in select.select(waiting, [], [])[0]:
        data = os.read(0, 65536) if one == 0 else there.recv(65536)
        if not data:
            waiting.remove(one)
            if one == 0:
                there.shutdown(socket.SHUT_WR)
        elif one == 0:
            there.sendall(data)
        else:
            os.write(1, data)
"""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"OK")

    def do_POST(self) -> None:
        """An attached stream: what is sent comes back in frames, until the sender's end."""
        self.send_response_only(101, "UPGRADED")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        while data := self.connection.recv(65536):
            self.connection.sendall(b"\1\0\0\0" + len(data).to_bytes(4) + data)
        self.close_connection = True

    def _answer(self, body: bytes) -> None:
        self.send_response_only(200)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What ssh was called with, a line each."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = tmp_path / "calls"
    port = server.server_address[1]
    _ssh(tmp_path, monkeypatch, BRIDGE.format(python=sys.executable, calls=str(file), port=port))
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@Far.example:2222")
    yield file
    server.shutdown()
    server.server_close()


def _ssh(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    ssh = folder / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(script)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(ssh.parent), prepend=":")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))
    for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def test_every_connection_is_a_command_there(calls: Path) -> None:
    api = Api()
    api.ping()
    api.ping()
    assert api.dialect.product == "Docker"
    api.close()
    (words,) = map(json.loads, calls.read_text().splitlines())  # one that is kept
    end = words.index("-T")
    assert "BatchMode=yes" in words
    assert words[words.index("-l") :] == [
        *("-l", "me", "-p", "2222", "--", "Far.example", "docker system dial-stdio")
    ]
    assert end < words.index("-l")


def test_where_a_sockets_path_would_be_too_long_each_connection_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    assert "ControlMaster=auto" in SshHost("ssh://far", "docker").command()
    monkeypatch.setattr("tempfile.gettempdir", lambda: f"{tmp_path}/{'x' * 60}")
    assert "ControlMaster=auto" not in SshHost("ssh://far", "docker").command()


def test_an_attached_stream_knows_timeouts_and_its_end(calls: Path) -> None:
    api = Api()
    with api.calling("attach") as client:
        stream = AttachStream(client.attach_socket("x", {"stream": 1}))
    with pytest.raises(TimeoutError):
        stream.receive(0.05)
    stream.send(b"hello")
    assert stream.receive(20) == [(1, b"hello")]
    waiting = threading.Timer(0.1, stream.shutdown)
    waiting.start()
    assert stream.receive(20) == []  # who waits is woken
    stream.close()
    api.close()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "echo banner >&2; echo 'me@far: Permission denied.' >&2; exit 255",
            "me@far: Permission denied.",
        ),
        ("echo 'sh: 1: docker: not found' >&2; exit 127", "sh: 1: docker: not found"),
        (r"printf 'red \033[31m\nalert \007!\n' >&2; exit 255", "alert "),
        ("exit 3", "ssh ended with status 3"),
    ],
)
def test_what_ssh_said_last_is_told_in_one_line(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ssh(tmp_path, monkeypatch, f"#!/bin/sh\n{script}\n")
    monkeypatch.setenv("DOCKER_HOST", "ssh://far")
    with pytest.raises(EngineUnavailableError) as caught:
        DockerEngine().facts()
    text = str(caught.value)
    assert f": ssh://far: {words}" in text
    assert text.isprintable()


def test_without_ssh_that_is_what_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "ssh://far")
    with pytest.raises(EngineUnavailableError, match="install OpenSSH's client"):
        DockerEngine().facts()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://far", ["--", "far", "docker system dial-stdio"]),
        ("ssh://[::1]:22", ["-p", "22", "--", "::1", "docker system dial-stdio"]),
        (
            "ssh://far/run/my docker.sock",
            ["--", "far", "docker -H 'unix:///run/my docker.sock' system dial-stdio"],
        ),
        ("ssh://-oProxyCommand=x", ["--", "-oProxyCommand=x", "docker system dial-stdio"]),
    ],
)
def test_where_the_address_leads(url: str, words: list[str]) -> None:
    command = SshHost(url, DOCKER.command).command()
    assert command[-len(words) :] == words


def test_podman_is_reached_by_its_own_client() -> None:
    command = SshHost("ssh://far/run/podman/podman.sock", PODMAN.command).command()
    assert command[-1] == "podman --url unix:///run/podman/podman.sock system dial-stdio"


@pytest.mark.parametrize("url", ["ssh://", "ssh://me@", "ssh://far:x", "ssh://me:secret@far"])
def test_what_is_no_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", url)
    with pytest.raises(EngineUnavailableError, match="USER@"):
        DockerEngine().facts()
