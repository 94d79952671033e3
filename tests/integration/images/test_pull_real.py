"""Pulls, end to end: a registry on this host that holds one real image, or says no."""

from __future__ import annotations

import gzip
import json
import subprocess
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from platform import machine

import pytest
from breaking_world import Project

from given import alpine_or_pulled

pytestmark = pytest.mark.engine
TYPE = "application/vnd.docker.{}+json"


class Registry(ThreadingHTTPServer):
    """The read side of the distribution protocol, for one image of one layer. The next
    answers about its manifest are those in `says` (status, code), then the true one."""

    def __init__(self, rootfs: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        layer = rootfs if rootfs.startswith(b"\x1f\x8b") else gzip.compress(rootfs, 1)
        self.says: list[tuple[int, str]] = []
        self.blobs: dict[str, tuple[str, bytes]] = {}
        inner = "sha256:" + sha256(gzip.decompress(layer)).hexdigest()
        config = {
            "architecture": {"aarch64": "arm64"}.get(machine(), "amd64"),
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [inner]},
        }
        kinds = {
            "config": ("container.image.v1", json.dumps(config).encode()),
            "layers": ("image.rootfs.diff.tar.gzip", layer),
        }
        parts = {name: self._blob(TYPE.format(kind), data) for name, (kind, data) in kinds.items()}
        self.type = TYPE.format("distribution.manifest.v2")
        manifest = {"schemaVersion": 2, "mediaType": self.type, **parts}
        manifest["layers"] = [parts["layers"]]
        self.manifest = self._blob(self.type, json.dumps(manifest).encode())["digest"]

    def _blob(self, kind: str, data: bytes) -> dict[str, object]:
        digest = "sha256:" + sha256(data).hexdigest()
        self.blobs[digest] = (kind, data)
        return {"mediaType": kind, "size": len(data), "digest": digest}


class Answer(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        kind, data = "application/json", b"{}"
        status, name = 200, self.path.rpartition("/")[2]
        if "/manifests/" in self.path and self.server.says:
            status, code = self.server.says[0]
            if self.command == "GET":  # each attempt asks by HEAD, then by GET
                self.server.says.pop(0)
            data = json.dumps({"errors": [{"code": code, "message": code}]}).encode()
        elif name:
            digest = name if name.startswith("sha256:") else self.server.manifest
            kind, data = self.server.blobs[str(digest)]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Content-Digest", f"sha256:{sha256(data).hexdigest()}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry(project: Project) -> Iterator[Registry]:
    """Serves what `project`'s distro is to be pulled from; an archive is its second source."""
    alpine = alpine_or_pulled()
    server = Registry(alpine.read_bytes())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    sources = [
        {"pull": f"docker.io/library/{project.distro}:1"},
        {"archive": {"file": alpine.name, "sha256": sha256(alpine.read_bytes()).hexdigest()}},
    ]
    project.add_distro(project.distro, image=sources)
    project.environ["DISTROMATRIX_REGISTRY"] = f"localhost:{server.server_port}"
    project.suites({"unit": "cat /etc/alpine-release"})
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    pulled = f"localhost:{server.server_port}/library/{project.distro}:1"
    subprocess.run(["docker", "rmi", "-f", pulled], check=True, capture_output=True)


def test_an_image_comes_from_its_registry(project: Project, registry: Registry) -> None:
    assert project.call("run").code == 0
    assert project.log("unit").startswith("3.")
    assert project.results()["unit"]["image"]["source"] == "pull"


def test_a_registry_that_stumbles_is_asked_again(project: Project, registry: Registry) -> None:
    registry.says = [(500, "UNKNOWN"), (503, "UNAVAILABLE")]
    assert project.call("run", "--retries", "0").code == 0
    assert project.results()["unit"]["image"]["source"] == "pull"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (429, "TOOMANYREQUESTS", "limits how often one may pull"),
        (404, "MANIFEST_UNKNOWN", "has no such image"),
    ],
)
def test_a_registry_that_says_no_is_not_passed_over(
    project: Project, registry: Registry, status: int, code: str, words: str
) -> None:
    registry.says = [(status, code)]
    said = project.call("run", "--retries", "0")
    assert said.code == 69
    assert project.results()["unit"]["image"] is None
    assert words in project.results()["unit"]["reason"]


def test_a_registry_that_is_down_gives_way_to_the_next_source(
    project: Project, registry: Registry
) -> None:
    registry.says = [(503, "UNAVAILABLE")] * 3
    assert project.call("run", "--retries", "0").code == 0
    assert project.results()["unit"]["image"]["source"] == "archive"
