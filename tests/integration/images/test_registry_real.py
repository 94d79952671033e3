"""Locks, credentials and refusals, with a real registry."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from breaking_world import Project, until
from images_world import catalogued
from registry_world import (
    Limiter,
    Pulling,
    Quoter,
    Registry,
    alpine_with,
    docker,
    for_other_machine,
    helper,
    login,
    pulled_refs_gone,
    running_registry,
    standing,
)

from distromatrix.doctor import reach
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.load.settings import Settings
from distromatrix.model import Pull
from given import alpine_or_pulled

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with running_registry() as running:
        yield running
        pulled_refs_gone(running.open, running.secret)


@pytest.fixture(scope="module")
def versions(docker_alpine: str) -> Iterator[tuple[str, str]]:
    """Two images that differ in what their /version says."""
    engine = DockerEngine()
    made = tuple(alpine_with(engine, docker_alpine, version) for version in ("one", "two"))
    yield made
    for tag in made:
        engine.images.remove(tag)
    engine.close()


@pytest.fixture
def pulling(project: Project, registry: Registry, versions, tmp_path: Path) -> Iterator[Pulling]:
    alpine = alpine_or_pulled()
    sources = [
        {"pull": f"docker.io/library/{project.distro}:1"},
        {"archive": {"file": alpine.name, "sha256": sha256(alpine.read_bytes()).hexdigest()}},
    ]
    project.add_distro(project.distro, image=sources)
    project.suites({"unit": "cat /version"})
    config = tmp_path / "no-login"
    config.mkdir()
    project.environ |= {"DISTROMATRIX_REGISTRY": registry.open, "DOCKER_CONFIG": str(config)}
    made = Pulling(project, registry, versions)
    yield made
    made.lost()


# --- locks -----------------------------------------------------------------------------------


def test_a_lock_holds_an_image_that_its_tag_has_left(pulling: Pulling) -> None:
    first = pulling.publish(pulling.versions[0])
    locked = pulling.project.call("images", "lock")
    assert locked.code == 0, locked.said
    assert locked.out == (
        f"{pulling.project.distro}: pull docker.io/{pulling.name}:1 {first} "
        f"({DockerEngine().facts().arch})\n"
    )
    second = pulling.publish(pulling.versions[1])
    assert pulling.version() == "one"
    assert pulling.cell()["image"]["source"] == "pull"
    assert pulling.cell()["image"]["locked"] is True

    checked = pulling.project.call("images", "lock", "--check")
    assert checked.code == 1
    assert f"{first} " in checked.out and f"→ pull docker.io/{pulling.name}:1 {second}" in (
        checked.out
    )
    assert pulling.project.call("images", "lock").code == 0
    assert pulling.project.call("images", "lock", "--check").code == 0
    assert pulling.version() == "two"


@pytest.mark.slow
def test_what_has_the_locked_images_tag_and_is_another_is_not_used(pulling: Pulling) -> None:
    pulling.publish(pulling.versions[0])
    pulling.project.call("images", "lock")
    assert pulling.version() == "one"
    (tag,) = (
        row["tag"]
        for row in json.loads(pulling.project.call("images", "list", "--json").out)
        if row["distro"] == pulling.project.distro
    )
    docker("tag", pulling.versions[1], tag)
    assert pulling.version() == "one"


def test_a_locked_image_that_its_registry_has_lost_is_an_error_of_the_image(
    pulling: Pulling,
) -> None:
    digest = pulling.publish(pulling.versions[0])
    pulling.project.call("images", "lock")
    pulling.registry.forget(pulling.name, digest)
    reason = pulling.refused()
    assert f"{pulling.name}@{digest}: the registry has no such image" in reason
    assert f"`distromatrix images lock {pulling.project.distro}` takes what is there" in reason


@pytest.mark.slow
def test_an_image_for_several_machines_is_locked_for_all_of_them(pulling: Pulling) -> None:
    engine = DockerEngine()
    arch = engine.facts().arch
    engine.close()
    go = {"x86_64": "amd64", "aarch64": "arm64"}[arch]
    digest = pulling.publish(pulling.versions[0], "single")
    several = pulling.registry.put_list(pulling.name, "1", {go: digest, "s390x": digest})
    locked = pulling.project.call("images", "lock")
    assert locked.out.rstrip().endswith(several)  # and no architecture after it
    assert "arch:" not in pulling.lock.read_text()
    assert pulling.version() == "one"
    assert pulling.cell()["image"]["locked"] is True


@pytest.mark.slow
def test_a_machines_file_gets_the_image_that_its_tag_has_left(pulling: Pulling) -> None:
    pulling.publish(pulling.versions[0])
    pulling.project.suites({"unit": "echo trace >left-here; exit 1"})
    assert pulling.project.call("run", "--export", "failed").code == 1
    path = pulling.project.latest / pulling.cell()["exported"]["file"]
    pulling.publish(pulling.versions[1])
    pulling.lost()
    opened = pulling.project.call("shell", "--from", str(path), input="cat left-here /version")
    assert (opened.code, opened.out) == (0, "trace\none\n"), opened.err
    assert "ready in" in opened.err  # it was pulled


@pytest.mark.slow
def test_a_locked_image_is_itself_where_it_was_carried_to(pulling: Pulling) -> None:
    pulling.publish(pulling.versions[0])
    pulling.project.call("images", "lock")
    exported = pulling.project.call("images", "export", "images.tar")
    assert exported.code == 0, exported.said
    pulling.lost()
    assert pulling.project.call("run", "--offline").code == 69
    assert pulling.project.call("images", "import", "images.tar").code == 0
    pulling.project.environ["DISTROMATRIX_REGISTRY"] = ""  # found under the declared name
    ran = pulling.project.call("run", "--offline")
    assert ran.code == 0, ran.said
    assert pulling.cell()["image"]["locked"] is True


def test_a_carried_image_that_is_pulled_anew_is_as_young_as_that(
    pulling: Pulling, registry: Registry
) -> None:
    ref = f"{registry.open}/{pulling.name}:1"
    tag = f"distromatrix/test-carried:{pulling.project.distro}"
    pulling.publish(pulling.versions[0])
    images = DockerEngine().images
    old = replace(images.pull(ref, tag, lambda _: None), created=time.time() - 9e6)
    images.load(io.BytesIO(b"".join(images.save((tag,)))), (old,))
    assert abs(images.find(tag).created - old.created) < 2  # type: ignore[union-attr]
    assert time.time() - images.pull(ref, tag, lambda _: None).created < 300


@pytest.fixture
def trusting_podman(pulling: Pulling) -> Iterator[None]:
    """Podman's service, told that this registry is one without TLS (Docker knows that of
    localhost); the project's commands use it."""
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        conf, sock = Path(name) / "registries.conf", Path(name) / "s"
        conf.write_text(f'[[registry]]\nlocation = "{pulling.registry.open}"\ninsecure = true\n')
        environ = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(conf)}
        command = ["podman", "system", "service", "--time=0", f"unix://{sock}"]
        service = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
        try:
            until(sock.exists, 30)
            pulling.project.engine = "podman"
            pulling.project.environ["CONTAINER_HOST"] = f"unix://{sock}"
            yield
        finally:
            ref = f"{pulling.registry.open}/{pulling.name}"
            ours = f"localhost/distromatrix/base:{pulling.project.distro}"
            listed = subprocess.run(
                ["podman", "images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"],
                capture_output=True, text=True, check=True,
            ).stdout.splitlines()  # fmt: skip
            ids = {x.split()[1] for x in listed if x.startswith((ref, ours))}
            if ids:
                subprocess.run(["podman", "rmi", "-f", *ids], check=True, capture_output=True)
            service.terminate()
            service.wait(30)


@pytest.mark.podman
@pytest.mark.slow
def test_podman_locks_by_pulling_and_holds_to_it(pulling: Pulling, trusting_podman: None) -> None:
    first = pulling.publish(pulling.versions[0])
    locked = pulling.project.call("images", "lock")
    assert locked.code == 0, locked.said
    assert f"pull docker.io/{pulling.name}:1 {first} " in locked.out
    pulling.publish(pulling.versions[1])
    assert pulling.version() == "one"
    assert pulling.cell()["engine"] == "podman"
    assert pulling.cell()["image"]["locked"] is True
    assert pulling.project.call("images", "lock", "--check").code == 1


# --- credentials -----------------------------------------------------------------------------


def test_docker_logins_count(pulling: Pulling, tmp_path: Path) -> None:
    pulling.publish(pulling.versions[0])
    secret = pulling.registry.secret
    pulling.project.environ |= {
        "DISTROMATRIX_REGISTRY": secret,
        "DOCKER_CONFIG": login(tmp_path / "config", secret),
    }
    assert pulling.version() == "one"
    assert pulling.project.call("images", "lock").code == 0


def test_docker_credential_helpers_count(pulling: Pulling, tmp_path: Path) -> None:
    pulling.publish(pulling.versions[0])
    secret = pulling.registry.secret
    pulling.project.environ |= {"DISTROMATRIX_REGISTRY": secret, **helper(tmp_path / "h", secret)}
    assert pulling.version() == "one"


def test_each_refusal_has_words_of_its_own_and_says_what_to_do(
    pulling: Pulling, tmp_path: Path
) -> None:
    secret = pulling.registry.secret
    pulling.project.environ["DISTROMATRIX_REGISTRY"] = secret
    none = pulling.refused()
    assert f"has none for it: `docker login {secret}`" in none

    wrong = pulling.refused(DOCKER_CONFIG=login(tmp_path / "wrong", secret, "wrong"))
    assert "does not take the credentials in Docker's configuration" in wrong
    assert f"`docker login {secret}`" in wrong

    absent = pulling.refused(DOCKER_CONFIG=login(tmp_path / "right", secret))
    assert "has no such image: check the name and the tag" in absent

    with standing(pulling.registry, Limiter) as limiter:
        limited = pulling.refused(DISTROMATRIX_REGISTRY=limiter)
    assert "limits how often one may pull" in limited
    assert "DISTROMATRIX_REGISTRY names a mirror" in limited
    assert all("\n" not in reason for reason in (none, wrong, absent, limited))


@pytest.mark.slow
def test_a_login_that_the_registry_quotes_is_masked(pulling: Pulling, tmp_path: Path) -> None:
    with standing(pulling.registry, Quoter) as host:
        config = login(tmp_path / "config", host, "s3kr&t-word")
        reason = pulling.refused(DISTROMATRIX_REGISTRY=host, DOCKER_CONFIG=config)
        said = pulling.project.call("images", "lock").said + reason
    assert "is no login, nor is tester:***" in reason
    auth = base64.b64encode(b"tester:s3kr&t-word").decode()
    assert [text for text in ("s3kr", auth, auth[-9:]) if text in said + pulling.run().said] == []


def test_a_lock_is_refused_in_the_same_words(pulling: Pulling, tmp_path: Path) -> None:
    pulling.project.environ["DISTROMATRIX_REGISTRY"] = pulling.registry.secret
    said = pulling.project.call("images", "lock")
    assert said.code == 69
    assert "has none for it: `docker login" in said.err
    assert not pulling.lock.exists()


def test_a_helper_that_is_not_there_is_named(pulling: Pulling, tmp_path: Path) -> None:
    secret = pulling.registry.secret
    environ = helper(tmp_path / "h", secret)
    (tmp_path / "h/docker-credential-distromatrix-test").unlink()
    reason = pulling.refused(DISTROMATRIX_REGISTRY=secret, **environ)
    assert "UserWarning" not in pulling.run().said
    assert f"Docker's credential helper for {secret} failed" in reason
    assert "docker-credential-distromatrix-test not installed" in reason


@pytest.mark.parametrize(
    "text",
    [
        '{"auths": {"localhost": {"auth": "%%%"}}}',
        *(pytest.param(text, marks=pytest.mark.slow) for text in ("{", "[]")),
    ],
)
def test_a_configuration_that_is_none_is_one_line(
    pulling: Pulling, tmp_path: Path, text: str
) -> None:
    (tmp_path / "no-login/config.json").write_text(text)
    ran = pulling.run()
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert f"{tmp_path}/no-login/config.json: is not a Docker configuration" in ran.err


# --- other machines --------------------------------------------------------------------------


@pytest.mark.slow
def test_an_image_for_another_machine_is_one_clear_line(pulling: Pulling) -> None:
    engine = DockerEngine()
    tag = for_other_machine(engine)
    try:
        digest = pulling.publish(tag)
    finally:
        engine.images.remove(tag)
        engine.close()
    reason = pulling.refused()
    assert "the image from pull is for " in reason
    assert "; this host is " in reason
    locked = pulling.project.call("images", "lock")
    assert locked.code == 69
    assert "the image from pull is for " in locked.err

    other = "arm64" if "is for aarch64" in reason else "amd64"
    pulling.lost()
    pulling.registry.put_list(pulling.name, "1", {other: digest})
    assert "has this image for other architectures only" in pulling.refused()


def test_whether_an_image_is_in_reach(
    registry: Registry, docker_alpine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "TIMEOUT", 60.0)
    registry.push(docker_alpine, "library/reach:1")
    debian = catalogued("debian-12")
    refs = {name: f"docker.io/library/reach:{name}" for name in "12"}
    both = [replace(debian, name=name, image=(Pull(ref=ref),)) for name, ref in refs.items()]
    away = reach.not_in_reach(both, Settings(registry=registry.open))
    assert away == {"2": f"{registry.open}: answers 404"}
    assert reach.not_in_reach(both, Settings(registry=registry.secret)) == {}  # wants a login
