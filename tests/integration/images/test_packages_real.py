"""apt against the real mirror, apk in the real Alpine against a repository made here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from images_world import World, alpine_with_repository, catalogued, rebuilt, told

from distromatrix.engines import open_engine
from distromatrix.engines.contract import Command
from distromatrix.errors import ImageError
from distromatrix.images.packages import MANAGERS
from distromatrix.load.settings import load_settings
from distromatrix.model import Distro
from given import alpine_archive, unobtainable

pytestmark = pytest.mark.engine


@pytest.fixture
def world() -> Iterator[World]:
    world = World(open_engine("docker"), load_settings())
    yield world
    world.clean()


@pytest.fixture
def alpine() -> Path:
    archive = alpine_archive()
    if archive is None:
        unobtainable("there is no Alpine archive in $DISTROMATRIX_ARCHIVES")
    return archive


@pytest.fixture
def own_alpine(world: World, alpine: Path, tmp_path: Path) -> Iterator[Distro]:
    distro = alpine_with_repository(
        alpine, tmp_path, {"hello-distromatrix": "hello", "other-distromatrix": "other"}
    )
    yield distro
    world.clean()
    world.engine.images.remove(world.images.base(distro).image.tag)


def test_apk_installs_by_common_and_by_native_name(world: World, own_alpine: Distro) -> None:
    image = world.prepared(own_alpine, packages=("greeting", "other-distromatrix")).image
    with world.machine(image.id) as machine:
        assert told(machine, "hello-distromatrix; other-distromatrix") == "hello\nother"
        assert told(machine, "ls /var/cache/apk") == ""


def test_apk_names_the_package_that_does_not_exist(world: World, own_alpine: Distro) -> None:
    with pytest.raises(ImageError) as caught:
        world.prepared(own_alpine, packages=("greeting", "nosuch"))
    assert str(caught.value) == "package 'nosuch' not found in alpine-test (apk)"
    assert (caught.value.phase, caught.value.transient) == ("packages", False)


def test_apk_tells_a_mirror_out_of_reach(world: World, alpine: Path, tmp_path: Path) -> None:
    nowhere = {"etc/apk/repositories": (b"http://127.0.0.1:9/alpine\n", 0o644)}
    distro = rebuilt(alpine, tmp_path, "alpine-nowhere", nowhere)
    with pytest.raises(ImageError, match=r"package mirror of alpine-nowhere \(apk\)") as caught:
        world.prepared(distro, packages=("git",))
    assert (caught.value.phase, caught.value.transient) == ("packages", True)
    world.engine.images.remove(world.images.base(distro).image.tag)


def test_apt_installs_by_common_and_by_native_name(world: World) -> None:
    image = world.prepared(catalogued("debian-12"), packages=("make", "less")).image
    with world.machine(image.id) as machine:
        assert told(machine, "make --version").startswith("GNU Make")
        assert told(machine, "command -v less") == "/usr/bin/less"
        assert told(machine, "ls /var/lib/apt/lists") == ""
        assert told(machine, "/usr/sbin/policy-rc.d || echo $?") == "101"  # starts no service
        assert told(machine, "dpkg -l | grep -c manpages-dev || :") == "0"  # recommended only


@pytest.mark.slow
def test_apt_names_the_package_that_does_not_exist(world: World) -> None:
    with pytest.raises(ImageError) as caught:
        world.prepared(catalogued("debian-12"), packages=("less", "nosuch-distromatrix"))
    assert str(caught.value) == "package 'nosuch-distromatrix' not found in debian-12 (apt)"
    assert (caught.value.phase, caught.value.transient) == ("packages", False)


@pytest.mark.slow
def test_apt_offers_what_debian_has_nearly_and_its_common_name(world: World) -> None:
    with pytest.raises(ImageError) as caught:
        world.prepared(catalogued("debian-12"), packages=("python3-pytset", "py3-pytest"))
    near, common = str(caught.value).split("; near: ")[1].split("; the common name ")
    assert near.startswith("python3-pytest")
    assert "(for python3-pytset)" in near
    assert common == "`pytest` stands for python3-pytest here"


def test_apt_tells_a_mirror_out_of_reach(world: World) -> None:
    base = world.images.base(catalogued("debian-12")).image
    output = bytearray()
    with world.machine(base.id) as machine:
        told(machine, "rm -f /etc/apt/sources.list.d/*; echo 'deb http://127.0.0.1:9 x main' "
                      "> /etc/apt/sources.list")  # fmt: skip
        ended = machine.run(
            Command(MANAGERS["apt"].install(("less",)), output=output.extend, timeout=120)
        )
    assert ended.status not in (0, None)
    assert (
        "Could not connect to 127.0.0.1:9" in MANAGERS["apt"].failure(output.decode()).unreachable
    )
