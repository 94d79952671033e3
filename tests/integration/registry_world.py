"""A real registry (Debian's docker-registry, in a container) with images of the tests' own:
one that gives to everybody, one on the same images that wants a password, one that refuses."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from breaking_world import Ended, Project, until
from images_world import World, catalogued

from distromatrix.engines import open_engine
from distromatrix.engines.contract import Command, MachineSpec
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.files.small_tar import tar_of
from distromatrix.load.settings import load_settings

USER, PASSWORD = "tester", "secret"
# bcrypt of PASSWORD, as the registry wants it.
HTPASSWD = "tester:$2b$04$oXSAN/KKKbYbxfBPaw5yV.6hXPeQFrLdAbGh7yFa.zbjnrJI69x.e\n"
CONFIG = """\
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: /srv/registry}, delete: {enabled: true}}
http: {addr: "0.0.0.0:PORT"}
"""
START = f"""
mkdir -p /srv/registry
echo '{HTPASSWD.strip()}' >/srv/htpasswd
echo '{CONFIG.replace("PORT", "5000")}' >/srv/open.yml
echo '{CONFIG.replace("PORT", "5001")}auth: {{htpasswd: {{realm: r, path: /srv/htpasswd}}}}' \
    >/srv/secret.yml
docker-registry serve /srv/secret.yml &
exec docker-registry serve /srv/open.yml
"""
KIND = "application/vnd.docker.distribution.manifest{}.v2+json"


def docker(*args: str, given: bytes | None = None) -> str:
    """The engine's own client; it must succeed."""
    done = subprocess.run(["docker", *args], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@dataclass
class Registry:
    """Where the two are, and what was put there."""

    open: str
    secret: str
    pushed: list[str] = field(default_factory=list)

    def push(self, image: str, name: str) -> str:
        """Put an image of the engine there. Returns its manifest's digest."""
        ref = f"{self.open}/{name}"
        docker("tag", image, ref)
        try:
            said = docker("push", ref)
        finally:
            docker("rmi", ref)
        self.pushed.append(ref)
        return said.rpartition("digest: ")[2].split()[0]

    def put_list(self, name: str, tag: str, digests: Mapping[str, str]) -> str:
        """Put a list there: Go's name of an architecture -> the digest of its image, which is
        there already under the same name."""
        manifests = []
        for arch, digest in digests.items():
            with self._ask("GET", f"{name}/manifests/{digest}") as answer:
                size = len(answer.read())
            platform = {"architecture": arch, "os": "linux"}
            entry = {"mediaType": KIND.format(""), "size": size, "digest": digest}
            manifests.append({**entry, "platform": platform})
        kind = KIND.format(".list")
        body = {"schemaVersion": 2, "mediaType": kind, "manifests": manifests}
        path = f"{name}/manifests/{tag}"
        with self._ask("PUT", path, json.dumps(body).encode(), kind) as answer:
            return str(answer.headers["Docker-Content-Digest"])

    def forget(self, name: str, digest: str) -> None:
        """Take an image away."""
        self._ask("DELETE", f"{name}/manifests/{digest}").close()

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = ""):
        headers = {"Accept": f"{KIND.format('')}, {KIND.format('.list')}"}
        if kind:
            headers["Content-Type"] = kind
        url = f"http://{self.open}/v2/{path}"
        return urllib.request.urlopen(
            urllib.request.Request(url, body, headers, method=method), timeout=20
        )


@contextmanager
def running_registry() -> Iterator[Registry]:
    """Both of them, in one container of Debian."""
    world = World(open_engine("docker"), load_settings())
    image = world.prepared(catalogued("debian-12"), packages=("docker-registry",)).image
    world.made.clear()  # it stays in the store for the next time, as any prepared layer
    name = f"distromatrix-test-registry-{secrets.token_hex(4)}"
    ports = ("-p", "127.0.0.1::5000", "-p", "127.0.0.1::5001")
    docker("run", "-d", "--rm", "--name", name, *ports, image.tag, "sh", "-c", START)
    try:
        where = [docker("port", name, port).split()[0] for port in ("5000/tcp", "5001/tcp")]
        hosts = [f"localhost:{one.rpartition(':')[2]}" for one in where]
        for host in hosts:
            until(lambda host=host: _answers(host), 30)
        registry = Registry(*hosts)
        yield registry
    finally:
        docker("rm", "-f", name)
        world.engine.close()


def _answers(host: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}/v2/", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False


def login(folder: Path, host: str, password: str = PASSWORD) -> str:
    """A folder for DOCKER_CONFIG with what `docker login` writes."""
    folder.mkdir()
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return str(folder)


def helper(folder: Path, host: str) -> dict[str, str]:
    """A credential helper that knows the password, and the environment in which it is used."""
    folder.mkdir()
    answer = json.dumps({"ServerURL": host, "Username": USER, "Secret": PASSWORD})
    program = folder / "docker-credential-distromatrix-test"
    program.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{answer}'\n")
    program.chmod(0o755)
    config = {"credHelpers": {host: "distromatrix-test"}}
    (folder / "config.json").write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"}


# --- one that refuses ------------------------------------------------------------------------


class Limiter(BaseHTTPRequestHandler):
    """Stands before the registry, and answers for every manifest that there were too many."""

    behind = ""

    def do_GET(self) -> None:
        if "/manifests/" in self.path:
            body = {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached it"}]}
            self._say(429, {"Content-Type": "application/json"}, json.dumps(body).encode())
            return
        connection = http.client.HTTPConnection(self.behind, timeout=20)
        connection.request(self.command, self.path)
        answer = connection.getresponse()
        self._say(answer.status, dict(answer.getheaders()), answer.read())

    def _say(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Quoter(Limiter):
    """Wants a login, refuses it, and says which it was."""

    def do_GET(self) -> None:
        came = self.headers.get("Authorization", "")
        if not came:
            self._say(401, {"WWW-Authenticate": 'Basic realm="r"'}, b"")
            return
        words = f"{came} is no login, nor is {base64.b64decode(came.split()[1]).decode()}"
        body = {"errors": [{"code": "DENIED", "message": words}]}
        self._say(403, {"Content-Type": "application/json"}, json.dumps(body).encode())


@contextmanager
def standing(registry: Registry, kind: type[Limiter]) -> Iterator[str]:
    """The host of one that stands before the registry."""
    handler = type("Handler", (kind,), {"behind": registry.open})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- images ----------------------------------------------------------------------------------


def alpine_with(engine, alpine: str, version: str) -> str:
    """An Alpine that says its /version. Returns its tag."""
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    machine = engine.open(MachineSpec(name=name, image=alpine, network=False))
    tag = f"distromatrix/test-version:{secrets.token_hex(6)}"
    try:
        machine.run(Command(f"echo {version} >/version"))
        engine.images.commit(machine.address.id, tag, {})
    finally:
        machine.close()
    return tag


def for_other_machine(engine) -> str:
    """An image whose configuration says arm64 (on an arm64 host: amd64). Returns its tag."""
    tag = f"distromatrix/test-arch:{secrets.token_hex(6)}"
    other = "amd64" if engine.facts().arch == "aarch64" else "arm64"
    layer = tar_of((("file", b"x", 0o644),))
    config = {"architecture": other, "os": "linux", "config": {}}
    config["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]}
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    files = {"layer.tar": layer, "config.json": json.dumps(config).encode()}
    files["manifest.json"] = json.dumps(manifest).encode()
    docker("load", given=tar_of((name, content, 0o644) for name, content in files.items()))
    return tag


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def pulled_refs_gone(*words: str) -> None:
    """Remove from the engine what was pulled under references that hold one of these words."""
    listed = docker("images", "--digests", "--format", "{{.Repository}}:{{.Tag}}@{{.Digest}}")
    for line in listed.splitlines():
        if any(word in line for word in words):
            name, _, digest = line.partition("@")
            with suppress(AssertionError):
                repository, _, tag = name.rpartition(":")
                docker("rmi", f"{repository}@{digest}" if tag == "<none>" else name)


@dataclass
class Pulling:
    """A project whose distro is pulled from the registry, with an archive as second source."""

    project: Project
    registry: Registry
    versions: tuple[str, str]

    @property
    def name(self) -> str:
        return f"library/{self.project.distro}"

    @property
    def lock(self) -> Path:
        return self.project.root / "distros.lock"

    def publish(self, image: str, tag: str = "1") -> str:
        return self.registry.push(image, f"{self.name}:{tag}")

    def run(self) -> Ended:
        return self.project.call("run", "--retries", "0")

    def cell(self) -> dict:
        return self.project.results()["unit"]

    def version(self) -> str:
        """What the image was that a run has now."""
        ran = self.run()
        assert ran.code == 0, ran.said
        return self.project.log("unit").strip()

    def refused(self, **environ: str) -> str:
        """The reason for which a run gets no image; it must not have taken the archive."""
        self.project.environ |= environ
        ran = self.run()
        assert ran.code == 69, ran.said
        cell = self.cell()
        assert (cell["verdict"], cell["phase"], cell["image"]) == ("error", "image", None)
        assert "Traceback" not in ran.said
        return str(cell["reason"])

    def lost(self) -> None:
        """The engine's store loses it."""
        engine = DockerEngine()
        pattern = f"reference=distromatrix/base:{self.project.distro}*"
        form = "{{.Repository}}:{{.Tag}}"
        for tag in docker("images", "--filter", pattern, "--format", form).split():
            engine.images.remove(tag)
        engine.close()
        pulled_refs_gone(self.project.distro)
