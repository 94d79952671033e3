"""Images of a real engine: pulls from a registry that says no, and what a commit leaves."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import docker
import pytest

from distromatrix.engines.contract import LABEL_RUN, MachineSpec
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.errors import PullError

pytestmark = pytest.mark.engine

# Errors as the OCI distribution specification writes them.
ANSWERS = {
    "limited": (429, "TOOMANYREQUESTS"),
    "secret": (401, "UNAUTHORIZED"),
    "absent": (404, "MANIFEST_UNKNOWN"),
}


class Registry(BaseHTTPRequestHandler):
    """Says no, in the way that the image's name asks for."""

    def do_GET(self) -> None:
        name = self.path.removeprefix("/v2/").split("/")[0]
        status, code = ANSWERS.get(name, (200, ""))
        body = json.dumps({"errors": [{"code": code, "message": code.lower()}]} if code else {})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body.encode())

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def engine() -> Iterator[DockerEngine]:
    opened = DockerEngine()
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("name", "kind"), [("limited", "rate-limit"), ("secret", "denied"), ("absent", "not-found")]
)
def test_a_registry_that_says_no_is_understood(
    engine: DockerEngine, registry: str, name: str, kind: str
) -> None:
    with pytest.raises(PullError) as caught:
        engine.images.pull(f"{registry}/{name}:1", "distromatrix/test-none:1", lambda _: None)
    assert caught.value.kind == kind
    assert f"{registry}/{name}:1" in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "registry.invalid"])
def test_a_registry_out_of_reach_is_told_from_one_that_says_no(
    engine: DockerEngine, host: str
) -> None:
    with pytest.raises(PullError) as caught:
        engine.images.pull(f"{host}/x:1", "distromatrix/test-none:1", lambda _: None)
    assert caught.value.kind == "unreachable"


def test_what_is_started_from_a_committed_image_by_others_is_not_ours(
    engine: DockerEngine, docker_alpine: str
) -> None:
    tag = f"distromatrix/test-commit:{secrets.token_hex(6)}"
    labels = {LABEL_RUN: f"test-{secrets.token_hex(6)}"}
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    machine = engine.open(MachineSpec(name=name, image=docker_alpine, labels=labels, network=False))
    engine.images.commit(machine.address.id, tag, {})
    machine.close()
    theirs = engine.open(MachineSpec(name=name, image=tag, network=False))
    try:
        assert name not in {one.name for one in engine.leftovers()}
    finally:
        theirs.close()
        engine.images.remove(tag)


def test_the_variables_of_an_image_are_known(engine: DockerEngine, docker_alpine: str) -> None:
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    tag = f"distromatrix/test-env:{secrets.token_hex(6)}"
    machine = engine.open(MachineSpec(name=name, image=docker_alpine, network=False))
    try:
        changes = ['ENV SAID="two words=x" PATH=/opt/bin:/bin', "ENV a.b=not-for-a-shell"]
        repository, _, version = tag.partition(":")
        docker.from_env().api.commit(name, repository, version, changes="\n".join(changes))
        image = engine.images.find(tag)
        assert image is not None
        assert image.env == {"SAID": "two words=x", "PATH": "/opt/bin:/bin"}
    finally:
        machine.close()
        engine.images.remove(tag)
