"""What one preparation downloaded serves the next, for each package manager that can keep it and
against a local repository: a package more is a package downloaded, and what is kept is believed by
its digest alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from images_world import World, told
from local_repositories import Served, program, served, workshop
from package_worlds import Families

from distromatrix.engines import open_engine
from distromatrix.images import Images
from distromatrix.images.store.downloads import DOWNLOADS
from distromatrix.load.settings import Settings, load_settings
from distromatrix.record.events import ImageProgress

pytestmark = pytest.mark.engine

PACKAGES = (
    program("hello-distromatrix", "hello", requires=("words-distromatrix",)),
    program("words-distromatrix", "words"),
    program("other-distromatrix", "other"),
)
slow = [pytest.param(name, marks=pytest.mark.slow) for name in ("pacman", "dnf", "zypper", "apk")]
every_manager = pytest.mark.parametrize("manager", ["apt", *slow])


@pytest.fixture(scope="module")
def families(docker_alpine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Families]:
    world = World(open_engine("docker"), load_settings())
    with workshop(world) as tools:
        folder, gateway = tmp_path_factory.mktemp("made"), tools.gateway
        built = tools.build(folder, PACKAGES, signed="all")
    with served(built, gateway) as server:
        families = Families(world, built, server, docker_alpine, checking=True)
        yield families
    families.clean()


@pytest.fixture
def world(families: Families, tmp_path: Path) -> Iterator[World]:
    """With a store of its own."""
    world = World(families.world.engine, Settings())
    world.images = Images(world.engine, Settings(), cache=tmp_path, emit=world.events.append)
    yield world
    world.clean()


def fetched(server: Served, since: int) -> set[str]:
    """The names of the packages that were asked for since then."""
    asked = (path.rpartition("/")[2] for path in server.requests[since:])
    names = (package.name for path in asked for package in PACKAGES if package.name in path)
    return set(names)


def install(families: Families, world: World, manager: str, *packages: str) -> set[str]:
    """The packages that are downloaded where those are installed; they work afterwards."""
    since = len(families.server.requests)
    image = world.prepared(families.distro(manager), packages=packages).image
    got = fetched(families.server, since)
    with world.machine(image.id) as machine:
        for name in packages:
            assert told(machine, name) == name.removesuffix("-distromatrix")
        assert told(machine, "ls -d /distromatrix 2>/dev/null || :") == ""
    return got


@every_manager
def test_a_package_more_is_a_package_downloaded(
    families: Families, world: World, manager: str, tmp_path: Path
) -> None:
    first = install(families, world, manager, "hello-distromatrix")
    assert first == {"hello-distromatrix", "words-distromatrix"}
    more = install(families, world, manager, "hello-distromatrix", "other-distromatrix")
    assert more == {"other-distromatrix"}
    said = [event.text for event in world.events if isinstance(event, ImageProgress)]
    assert any("kept from before, 1 downloaded" in text for text in said)


@every_manager
def test_what_was_changed_in_the_store_is_downloaded_again(
    families: Families, world: World, manager: str, tmp_path: Path
) -> None:
    """Of the same size and age: apt by itself would install it."""
    install(families, world, manager, "hello-distromatrix")
    for file in (tmp_path / DOWNLOADS).iterdir():
        file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
    again = install(families, world, manager, "hello-distromatrix", "other-distromatrix")
    assert again == {"hello-distromatrix", "words-distromatrix", "other-distromatrix"}


def test_apt_gets_its_indexes_once(families: Families, world: World) -> None:
    install(families, world, "apt", "hello-distromatrix")
    since = len(families.server.requests)
    install(families, world, "apt", "other-distromatrix")
    asked = [path.rpartition("/")[2] for path in families.server.requests[since:]]
    assert "InRelease" in asked
    assert not [name for name in asked if name.startswith("Packages")]
