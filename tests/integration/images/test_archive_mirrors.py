"""Releases past their end of life, from where their distributions keep old ones: apt against
a repository whose Release file has expired long ago."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from uuid import uuid4

import pytest
from images_world import World, catalogued, told
from local_repositories import program, served, workshop
from package_worlds import Families

from distromatrix.engines import open_engine
from distromatrix.errors import ImageError
from distromatrix.images.packages import MANAGERS
from distromatrix.load.settings import Settings, load_settings
from distromatrix.model import Distro

pytestmark = pytest.mark.engine

EOL, TODAY = date(2020, 6, 30), date(2026, 1, 1)
EXPIRED = "Tue, 30 Jun 2020 00:00:00 UTC"


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory, docker_alpine: str) -> Iterator[Families]:
    world = World(open_engine("docker"), load_settings())
    packages = (program("hello-distromatrix", "hello"), program("other-distromatrix", "other"))
    with workshop(world) as tools:
        built = tools.build(
            tmp_path_factory.mktemp("archive"), packages, kinds=("deb",), valid_until=EXPIRED
        )
        address = tools.gateway
    with served(built, address) as server:
        families = Families(world, built, server, docker_alpine)
        yield families
    families.clean()


@pytest.fixture
def old(families: Families) -> Distro:
    """A release past its end of life."""
    return replace(families.distro("apt"), eol=EOL)


def failing(families: Families, distro: Distro, **settings: object) -> ImageError:
    """The error of an installation with those settings, today."""
    world = World(families.world.engine, Settings(**{"today": TODAY, **settings}))
    with pytest.raises(ImageError) as caught:
        world.prepared(distro, packages=("hello-distromatrix",))
    assert caught.value.phase == "packages"
    return caught.value


def test_an_archive_serves_a_release_past_its_end_and_its_suites_too(
    families: Families, old: Distro
) -> None:
    settings = Settings(
        mirrors={"test-apt": "http://127.0.0.1:9"},
        archive_mirrors={"test-apt": families.server("deb")},
        today=TODAY,
    )
    world = World(families.world.engine, settings)
    try:
        image = world.prepared(old, packages=("hello-distromatrix",)).image
        with world.machine(image.id) as machine:
            assert told(machine, "hello-distromatrix") == "hello"
            told(machine, MANAGERS["apt"].install(("other-distromatrix",)))
            assert told(machine, "other-distromatrix") == "other"
    finally:
        world.clean()


@pytest.mark.slow
def test_an_archive_is_not_asked_while_a_release_is_supported(
    families: Families, old: Distro
) -> None:
    settings = {
        "mirrors": {"test-apt": "http://127.0.0.1:9"},
        "archive_mirrors": {"test-apt": families.server("deb")},
    }
    error = failing(families, replace(old, eol=TODAY), **settings)
    assert "not reachable: Could not connect to 127.0.0.1:9" in str(error)


ADVICE = (
    "; test-apt-1 is past its end of life (2020-06-30): set `archive_mirrors: "
    "{test-apt: URL}` in config.yaml to where its distribution keeps old releases"
)


def test_what_to_set_is_told_where_the_mirror_has_dropped_the_release(
    families: Families, old: Distro
) -> None:
    error = failing(families, old, mirrors={"test-apt": families.server("nothing")})
    url = families.server("nothing")
    assert str(error) == (
        "the package mirror does not have test-apt-1 (apt): "
        f"The repository '{url} stable Release' does not have a Release file{ADVICE}"
    )


def test_what_to_set_is_told_where_the_release_has_expired(families: Families, old: Distro) -> None:
    error = failing(families, old)
    assert "Release file has expired for test-apt-1 (apt)" in str(error)
    assert str(error).endswith(ADVICE)


def test_nothing_of_it_is_told_while_a_release_is_supported(
    families: Families, old: Distro
) -> None:
    error = failing(families, replace(old, eol=TODAY))
    assert "has expired" in str(error)
    assert "end of life" not in str(error)


# --- bootstraps ----------------------------------------------------------------------------------


@pytest.fixture
def old_debian() -> Distro:
    """Debian 12 as if it were past its end of life, under a name of this test's own."""
    debian = catalogued("debian-12")
    bootstraps = tuple(source for source in debian.image if source.kind == "bootstrap")
    return replace(debian, name=f"old{uuid4().hex[:8]}-12", eol=EOL, image=bootstraps)


def test_what_to_set_is_told_where_no_bootstrap_can_be_had(
    families: Families, old_debian: Distro
) -> None:
    distribution = old_debian.name.removesuffix("-12")
    settings = Settings(mirrors={distribution: families.server("nothing")}, today=TODAY)
    with pytest.raises(ImageError) as caught:
        World(families.world.engine, settings).images.base(old_debian)
    assert "does not have a Release file" in str(caught.value)
    assert f"set `archive_mirrors: {{{distribution}: URL}}` in config.yaml" in str(caught.value)


@pytest.mark.slow
def test_an_image_bootstrapped_from_an_archive_takes_expired_release_files(
    families: Families, old_debian: Distro
) -> None:
    ours = families.world
    with ours.machine(ours.images.base(catalogued("debian-12")).image.id) as machine:
        mirror = told(machine, "cat /etc/apt/sources.list | tr ' ' '\\n' | grep -m 1 '^http'")
    archive = {old_debian.name.removesuffix("-12"): mirror}
    world = World(ours.engine, Settings(archive_mirrors=archive, today=TODAY))
    base = world.images.base(old_debian)
    try:
        with world.machine(base.image.id) as machine:
            assert told(machine, "apt-config dump Acquire::Check-Valid-Until") == (
                'Acquire::Check-Valid-Until "false";'
            )
            assert mirror in told(machine, "cat /etc/apt/sources.list")
    finally:
        world.engine.images.remove(base.image.tag)
