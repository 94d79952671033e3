"""Every package manager for real, against local repositories: what is there, what is not, a
mirror of the user's, and one that is down. In Debian 12 that is dnf 4 and pacman 6, in its
testing release (slow) dnf 5, pacman 7 and an apt that checks signatures by other means."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from images_world import World, told
from local_repositories import Built, Package, Served, program, served, workshop
from package_worlds import NOWHERE, READS, Families

from distromatrix.engines import open_engine
from distromatrix.errors import ImageError
from distromatrix.images.packages import MANAGERS
from distromatrix.load.settings import Settings, load_settings

pytestmark = pytest.mark.engine

PACKAGES = (
    program("hello-distromatrix", "hello", requires=("words-distromatrix",)),
    Package(name="words-distromatrix", files={"usr/share/words": b"hello\n"}),
    program("other-distromatrix", "other"),
    Package(name="libheld-dev", files={"usr/lib/pkgconfig/held.pc": b"Name: held\n"}),
    program("distromatrix-keyring", "key"),
)
# What must be empty afterwards.
LISTS = {
    "apt": "/var/lib/apt/lists",
    "dnf": "/var/cache/dnf /var/cache/libdnf5",
    "zypper": "/var/cache/zypp/raw /var/cache/zypp/solv /var/cache/zypp/packages",
    "pacman": "/var/lib/pacman/sync /var/cache/pacman/pkg",
    "apk": "/var/cache/apk",
}
# Where a machine's repositories are written.
CONFIGURED = {
    "apt": "/etc/apt/sources.list*",
    "dnf": "/etc/yum.repos.d",
    "zypper": "/etc/zypp/repos.d",
    "pacman": "/etc/pacman.d",
    "apk": "/etc/apk/repositories",
}
every_manager = pytest.mark.parametrize("manager", READS)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, str]:
    """The repositories, and the address at which machines reach this host."""
    world = World(open_engine("docker"), load_settings())
    with workshop(world) as tools:
        return tools.build(tmp_path_factory.mktemp("repositories"), PACKAGES), tools.gateway


@pytest.fixture(
    scope="module", params=["debian-12", pytest.param("debian-testing", marks=pytest.mark.slow)]
)
def families(
    repositories: tuple[Built, str], docker_alpine: str, request: pytest.FixtureRequest
) -> Iterator[Families]:
    built, gateway = repositories
    world = World(open_engine("docker"), load_settings())
    with served(built, gateway) as server:
        families = Families(world, built, server, docker_alpine, request.param)
        yield families
    families.clean()


@pytest.fixture
def own(families: Families) -> Iterator[World]:
    """Without settings: a distro's packages come from where its image says."""
    world = World(families.world.engine, Settings())
    yield world
    world.clean()


@pytest.fixture
def mirror(repositories: tuple[Built, str]) -> Iterator[Served]:
    """A second server of the same repositories."""
    with served(*repositories) as server:
        yield server


@every_manager
def test_packages_and_what_they_require_are_installed_and_no_lists_stay(
    own: World, families: Families, manager: str
) -> None:
    distro = families.distro(manager)
    base = own.images.base(distro).image.id
    held = ("pkgconfig(held)", "pkgconfig(held)?", "lib(nosuch)?")  # apt goes by the name: no lists
    image = own.prepared(distro, packages=("greeting", *held, "other-distromatrix")).image
    with own.machine(image.id) as machine:
        assert told(machine, "hello-distromatrix; other-distromatrix") == "hello\nother"
        assert told(machine, "cat /usr/share/words") == "hello"
        assert told(machine, "cat /usr/lib/pkgconfig/held.pc") == "Name: held"
        assert told(machine, "ls /tmp") == ""
        assert told(machine, f"find {LISTS[manager]} -type f 2>/dev/null || :") == ""
        configured = told(machine, f"cat $(find {CONFIGURED[manager]} -type f | sort)")
    with own.machine(base) as machine:
        assert configured == told(machine, f"cat $(find {CONFIGURED[manager]} -type f | sort)")


@every_manager
def test_a_package_that_is_not_there_is_named_with_near_ones(
    own: World, families: Families, manager: str
) -> None:
    distro = families.distro(manager)
    with pytest.raises(ImageError) as caught:
        own.prepared(distro, packages=("other-distromatrix", "hello-distromatirx"))
    assert str(caught.value) == (
        f"package 'hello-distromatirx' not found in test-{manager}-1 ({manager}); "
        "near: hello-distromatrix"
    )
    assert (caught.value.phase, caught.value.transient) == ("packages", False)


def test_dnf_takes_a_path_for_whichever_package_holds_it_also_when_it_is_there(
    own: World, families: Families
) -> None:
    path = "/usr/bin/hello-distromatrix"
    image = own.prepared(families.distro("dnf"), packages=(path,)).image
    with own.machine(image.id) as machine:
        assert told(machine, "hello-distromatrix") == "hello"
        told(machine, MANAGERS["dnf"].install((path,)))


@every_manager
@pytest.mark.slow
def test_packages_come_from_the_users_mirror_and_those_of_the_suite_too(
    families: Families, mirror: Served, manager: str
) -> None:
    distro = families.distro(manager)
    distribution = distro.name.removesuffix("-1")
    settings = Settings(mirrors={distribution: mirror(READS[manager])})
    world = World(families.world.engine, settings)
    asked = len(families.server.requests)
    try:
        packages = ("hello-distromatrix", "distromatrix-keyring")
        image = world.prepared(distro, packages=packages).image
        with world.machine(image.id) as machine:
            assert told(machine, "hello-distromatrix") == "hello"
            told(machine, MANAGERS[manager].install(("other-distromatrix",)))
            assert told(machine, "other-distromatrix") == "other"
        assert any("other" in path for path in mirror.requests)
        assert families.server.requests[asked:] == []
    finally:
        world.clean()


@every_manager
def test_a_mirror_that_is_down_is_told_as_such(families: Families, manager: str) -> None:
    distro = families.distro(manager)
    world = World(families.world.engine, Settings(mirrors={distro.name: NOWHERE}))
    with pytest.raises(ImageError) as caught:
        world.prepared(distro, packages=("hello-distromatrix",))
    assert f"package mirror of test-{manager}-1 ({manager}) not reachable: " in str(caught.value)
    assert (caught.value.phase, caught.value.transient) == ("packages", True)


@every_manager
def test_a_mirror_without_the_release_is_told_as_such(families: Families, manager: str) -> None:
    distro = families.distro(manager)
    settings = Settings(mirrors={distro.name: families.server("nothing")})
    world = World(families.world.engine, settings)
    with pytest.raises(ImageError) as caught:
        world.prepared(distro, packages=("hello-distromatrix",))
    said = str(caught.value)
    assert said.startswith(f"the package mirror does not have test-{manager}-1 ({manager}): ")
    assert not caught.value.transient


@pytest.mark.parametrize("manager", [m for m in READS if m != "pacman"])  # its are not signed
def test_packages_of_a_stranger_are_not_installed(
    own: World, families: Families, mirror: Served, manager: str
) -> None:
    distro = families.distro(manager, trusting=False)
    settings = Settings(mirrors={distro.name: mirror(READS[manager])})
    for world in (own, World(families.world.engine, settings)):
        with pytest.raises(ImageError) as caught:
            world.prepared(distro, packages=("hello-distromatrix",))
        said = str(caught.value)
        assert f"the package mirror of test-{manager}-1 ({manager}) is not trusted: " in said
        assert not caught.value.transient
