"""Images of a real Podman and a real registry: pulled, refused, and when that was."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from breaking_world import until
from registry_world import Limiter, Registry, docker, login, running_registry, standing

from distromatrix.engines import open_engine
from distromatrix.engines.contract import LABEL_RUN, Command, Engine, MachineSpec
from distromatrix.engines.docker import podman
from distromatrix.errors import PullError

pytestmark = [pytest.mark.engine, pytest.mark.podman]


@dataclass
class Side:
    """A Podman that takes the registry's plain http, and what was pushed there."""

    engine: Engine
    registry: Registry
    limiter: str
    ref: str
    digest: str


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory, docker_alpine: str) -> Iterator[Side]:
    """Docker takes http from this host's registries; Podman must be told so."""
    folder = tmp_path_factory.mktemp("podman")
    path = folder / "podman.sock"
    with running_registry() as registry, standing(registry, Limiter) as limiter:
        digest = registry.push(docker_alpine, "alpine:1")
        hosts = (registry.open, registry.secret, limiter)
        rows = "\n".join(f'[[registry]]\nlocation = "{host}"\ninsecure = true' for host in hosts)
        (folder / "registries.conf").write_text(rows)
        login(folder / "config", registry.secret, "not it")
        environ = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf")}
        service = subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{path}"], env=environ
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CONTAINER_HOST", f"unix://{path}")
            try:
                until(lambda: podman.answers(path), 30)
                engine = open_engine("podman")
                yield Side(engine, registry, limiter, f"{registry.open}/alpine:1", digest)
                engine.close()
                subprocess.run(
                    ["podman", "rmi", "--force", f"{registry.open}/alpine:1"],
                    capture_output=True,
                    check=False,
                )
            finally:
                service.terminate()
                service.wait(20)


@pytest.fixture
def tag(side: Side) -> Iterator[str]:
    name = f"distromatrix/test-pull:{secrets.token_hex(6)}"
    yield name
    side.engine.images.remove(name)


def test_what_is_pulled_is_ours_from_now_on_and_starts(side: Side, tag: str) -> None:
    said: list[str] = []
    image = side.engine.images.pull(side.ref, tag, said.append)
    assert image.tag == tag
    assert abs(image.created - time.time()) < 60
    assert side.digest in image.digests
    assert image.arch == side.engine.facts().arch
    assert image in side.engine.images.list(image.labels)
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    labels = {LABEL_RUN: name}
    machine = side.engine.open(MachineSpec(name=name, image=tag, labels=labels, network=False))
    assert machine.run(Command("[ -e /etc/alpine-release ]")).status == 0
    machine.close()


def test_pulling_again_makes_it_new_and_removing_takes_all_of_ours(side: Side, tag: str) -> None:
    first = side.engine.images.pull(side.ref, tag, lambda _: None)
    time.sleep(1.1)  # what tells the time has whole seconds
    again = side.engine.images.pull(side.ref, tag, lambda _: None)
    assert again.created > first.created
    side.engine.images.remove(tag)
    inspect = ["podman", "image", "inspect", "--format", "{{.RepoTags}}", side.ref]
    names = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout
    assert "distromatrix" not in names


def test_a_registry_is_looked_into(side: Side) -> None:
    assert side.engine.images.resolve(side.ref).digest == side.digest
    words = ["podman", "images", "--format", "{{.Repository}}"]

    def names() -> str:
        """Podman fails where another test removes an image meanwhile."""
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    until(lambda: side.ref.removesuffix(":1") in (found := names()) and "/resolved" not in found)


@pytest.mark.parametrize(
    ("where", "name", "kind"),
    [
        ("open", "alpine:2", "not-found"),
        pytest.param("open", "nothing:1", "not-found", marks=pytest.mark.slow),
        ("secret", "alpine:1", "denied"),
        # Podman itself asks again for two minutes.
        pytest.param("limiter", "alpine:1", "rate-limit", marks=pytest.mark.slow),
    ],
)
def test_a_registry_that_says_no_is_understood(
    side: Side, where: str, name: str, kind: str
) -> None:
    host = side.limiter if where == "limiter" else getattr(side.registry, where)
    with pytest.raises(PullError) as caught:
        side.engine.images.pull(f"{host}/{name}", "distromatrix/test-none:1", lambda _: None)
    assert caught.value.kind == kind
    assert f"{host}/{name}" in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "registry.invalid"])
def test_a_registry_out_of_reach_is_told_from_one_that_says_no(side: Side, host: str) -> None:
    with pytest.raises(PullError) as caught:
        side.engine.images.pull(f"{host}/x:1", "distromatrix/test-none:1", lambda _: None)
    assert caught.value.kind == "unreachable"


def test_images_that_docker_saved_are_loaded_by_podman_and_back(
    side: Side, docker_alpine: str, tmp_path: Path
) -> None:
    theirs = open_engine("docker")
    tag = f"distromatrix/test-carried:{secrets.token_hex(6)}"
    docker("tag", docker_alpine, tag)
    try:
        for source, target in ((theirs, side.engine), (side.engine, theirs)):
            image = source.images.find(tag)
            assert image is not None
            data = tmp_path / "saved.tar"
            with data.open("wb") as out:
                out.writelines(source.images.save((tag,)))
            source.images.remove(tag)
            with data.open("rb") as tar:
                target.images.load(tar, (image,))
            loaded = target.images.find(tag)
            assert loaded is not None
            assert loaded.tag == tag
            assert abs(loaded.created - image.created) < 1
            assert [i.tag for i in target.images.list(image.labels)].count(tag) == 1
    finally:
        for one in (theirs, side.engine):
            one.images.remove(tag)
        theirs.close()
