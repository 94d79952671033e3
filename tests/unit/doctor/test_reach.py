"""Which images are in reach, by what real servers answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from loading import debian

from distromatrix.doctor import reach
from distromatrix.doctor.reach import ask_registry, ask_url, not_in_reach
from distromatrix.load.settings import Settings
from distromatrix.model import Archive, Bootstrap, Containerfile, Distro, ImageSource, Pull

BY_PATH = {
    "/v2/here/manifests/1": 200,
    "/v2/here/manifests/sha256:1": 200,
    "/v2/private/manifests/1": 401,
    "/v2/broken/manifests/1": 503,
    "/debian/dists/bookworm/InRelease": 200,
    "/v2/": 401,
}


class Handler(BaseHTTPRequestHandler):
    asked: list[str]

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        self.send_response(BY_PATH.get(self.path, 404))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """It ends with the tests, and waits for none of those who asked."""

    daemon_threads = True
    block_on_close = False

    @property
    def host(self) -> str:
        return f"localhost:{self.server_port}"


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def server(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(reach, "TIMEOUT", 60.0)  # on a machine that stands still
    monkeypatch.setenv("no_proxy", "*")
    with Server(("localhost", 0), type("Asked", (Handler,), {"asked": asked})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def distro(*image: ImageSource, name: str = "debian-12") -> Distro:
    return debian(name, *image, file=Path("/nowhere/distros/debian-12.yaml"))


def why(source: ImageSource, settings: Settings | None = None) -> str:
    """Why it is out of reach, or ''."""
    return not_in_reach([distro(source)], settings or Settings()).get("debian-12", "")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("here:1", ""),
        ("here@sha256:1", ""),
        ("private:1", ""),
        ("here:2", "answers 404"),
        ("here", "answers 404"),  # which is `latest`
        ("broken:1", "answers 503"),
    ],
)
def test_a_registry_is_asked_for_the_very_image(server: Server, name: str, wrong: str) -> None:
    assert why(Pull(ref=f"{server.host}/{name}")) == (wrong and f"{server.host}: {wrong}")


def test_the_users_registry_stands_for_docker_hub(server: Server) -> None:
    assert why(Pull(ref="docker.io/here:1"), Settings(registry=server.host)) == ""


def test_one_source_in_reach_is_enough(server: Server) -> None:
    gone, there = (Pull(ref=f"{server.host}/{name}") for name in ("gone:1", "here:1"))
    assert not_in_reach([distro(gone, there)], Settings()) == {}
    assert list(not_in_reach([distro(gone)], Settings())) == ["debian-12"]


def test_who_wants_a_login_is_asked_once(server: Server, asked: list[str]) -> None:
    distros = [
        distro(Pull(ref=f"{server.host}/{name}:1"), name=name) for name in ("private", "z", "zz")
    ]
    assert not_in_reach(distros, Settings()) == {}
    assert asked == ["/v2/private/manifests/1"]


def test_a_mirror_is_asked_for_the_release(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reach, "missing_programs", lambda _: {})
    monkeypatch.setattr(reach, "KEYRING", tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: f"/{name}")
    settings = Settings(mirrors={"debian": f"http://me:s3cret@{server.host}/debian/"})
    assert why(Bootstrap(tool="mmdebstrap", suite="bookworm"), settings) == ""
    gone = why(Bootstrap(tool="mmdebstrap", suite="gone"), settings)
    assert gone == "its mirror: answers 404"
    monkeypatch.setattr(reach, "KEYRING", tmp_path / "none")
    assert why(Bootstrap(tool="mmdebstrap", suite="bookworm"), settings) == (f"no {tmp_path}/none")
    assert why(Bootstrap(tool="dnf", suite="43")) == "no mirror in config.yaml"


def test_a_tool_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "missing_programs", lambda _: {"zypper": "", "rpm": ""})
    monkeypatch.setattr("os.geteuid", lambda: 0)
    found = why(Bootstrap(tool="zypper"), Settings(mirrors={"debian": "http://127.0.0.1:1"}))
    assert found == "no zypper, no rpm"


def test_what_needs_no_network(tmp_path: Path) -> None:
    offline = Settings(offline=True, archives=(tmp_path,))
    archive = Archive(file="root.tar", sha256="0" * 64)
    assert why(archive, offline) == "root.tar is not here"
    (tmp_path / "root.tar").touch()
    assert why(archive, offline) == ""
    assert why(Pull(ref="docker.io/library/debian:12"), offline) == "offline is set"
    assert why(Containerfile(path="Containerfile", files=(), args=())) == ""
    other = replace(distro(archive), arch=("pdp11",))
    assert not_in_reach([other], offline)["debian-12"].startswith("not for ")


def test_nobody_who_listens_is_not_in_reach() -> None:
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        assert ask_registry(host) == "not in reach"


def test_a_registry_that_wants_a_login_answers(server: Server) -> None:
    assert ask_registry(server.host) == ""


@pytest.mark.parametrize("url", ["http://[", "http://a:b/", "x", "http://\x00/"])
def test_a_url_that_is_none_is_not_in_reach(url: str) -> None:
    assert ask_url(url) == "not in reach"
