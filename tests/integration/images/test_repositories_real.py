"""Repositories beside an image's own, for real: packages come from them where their key says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images_world import World, told
from local_repositories import REPOSITORIES, Built, Package, Served, program, served, workshop
from package_worlds import READS, Families

from distromatrix.engines import open_engine
from distromatrix.errors import ImageError
from distromatrix.load.settings import Settings, load_settings
from distromatrix.model import Repository

pytestmark = [pytest.mark.engine, pytest.mark.slow]

OTHER = "other-test.rsa.pub"
every_manager = pytest.mark.parametrize("manager", ["apt", "dnf", "zypper", "apk"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Built, str]:
    """The image's own repositories, and another's, whose keys are others; and the address at
    which machines reach this host."""
    world = World(open_engine("docker"), load_settings())
    with workshop(world) as tools:
        own = tools.build(tmp_path_factory.mktemp("own"), (program("hello-distromatrix", "hello"),))
    with workshop(world) as tools:
        added = (
            program("more-distromatrix", "more", requires=("hello-distromatrix",)),
            Package(name="words-distromatrix", files={"usr/share/words": b"more\n"}),
        )
        other = tools.build(tmp_path_factory.mktemp("other"), added, key_name=OTHER)
        return own, other, tools.gateway


@pytest.fixture(scope="module")
def families(built: tuple[Built, Built, str], docker_alpine: str) -> Iterator[Families]:
    own, _, gateway = built
    world = World(open_engine("docker"), load_settings())
    with served(own, gateway) as server:
        families = Families(world, own, server, docker_alpine)
        yield families
    families.clean()


@pytest.fixture
def other(built: tuple[Built, Built, str]) -> Iterator[Served]:
    _, added, gateway = built
    with served(added, gateway) as server:
        yield server


@pytest.fixture
def world(families: Families) -> Iterator[World]:
    world = World(families.world.engine, Settings())
    yield world
    world.clean()


def repository(manager: str, server: Served, by: Built) -> Repository:
    """What the server has for a package manager, as if signed by that one."""
    kind = READS[manager]
    key = by.apk_key if manager == "apk" else by.key
    return Repository(url=server(kind), paths=REPOSITORIES[kind], key=key.decode(), key_file=OTHER)


@every_manager
def test_packages_come_from_what_was_added_and_need_what_there_was(
    world: World, families: Families, built: tuple[Built, Built, str], other: Served, manager: str
) -> None:
    distro = families.distro(manager)
    wanted: dict[str, Any] = {"repositories": (repository(manager, other, built[1]),)}
    image = world.prepared(distro, packages=("more-distromatrix",), **wanted).image
    with world.machine(image.id) as machine:
        assert told(machine, "more-distromatrix; hello-distromatrix") == "more\nhello"
    again = world.prepared(distro, packages=("more-distromatrix",), **wanted).image
    assert again.id == image.id
    with pytest.raises(ImageError, match="'more-distromatrix' not found"):
        world.prepared(distro, packages=("more-distromatrix",))


@every_manager
def test_what_another_key_signed_is_not_installed(
    world: World, families: Families, built: tuple[Built, Built, str], other: Served, manager: str
) -> None:
    wrong = repository(manager, other, built[0])  # whom the image's own packages are from
    with pytest.raises(ImageError) as caught:
        distro = families.distro(manager)
        world.prepared(distro, packages=("words-distromatrix",), repositories=(wrong,))
    assert f"the repository {wrong.url} is not trusted by test-{manager}-1" in str(caught.value)
    assert (caught.value.phase, caught.value.transient) == ("packages", False)


def test_metadata_past_its_day_is_told_with_the_repository(
    world: World, families: Families, tmp_path: Path
) -> None:
    with workshop(families.world) as tools:
        words = Package(name="words-distromatrix", files={"usr/share/words": b"more\n"})
        past = "Thu, 01 Jan 2015 00:00:00 UTC"
        old = tools.build(tmp_path, (words,), kinds=("deb",), valid_until=past)
        gateway = tools.gateway
    with served(old, gateway) as server, pytest.raises(ImageError) as caught:
        added = (repository("apt", server, old),)
        distro = families.distro("apt")
        world.prepared(distro, packages=("words-distromatrix",), repositories=added)
    assert f"the Release file of the repository {added[0].url} has expired" in str(caught.value)
    assert f"{server('deb')}/dists/stable/InRelease" in str(caught.value)
