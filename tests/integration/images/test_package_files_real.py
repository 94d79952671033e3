"""Packages that a product has built, installed over the distribution's and removed, for real."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from images_world import World, cell, told
from local_repositories import Package, served, workshop
from package_worlds import READS, Families

from distromatrix.engines import open_engine
from distromatrix.engines.contract import Command
from distromatrix.files.small_tar import tar_of
from distromatrix.images.packages import MANAGERS
from distromatrix.load.settings import Settings, load_settings

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ENDS = {"apt": "deb", "dnf": "rpm", "zypper": "rpm", "apk": "apk"}


def release(version: str, *requires: str) -> Package:
    script = f"#!/bin/sh\necho {version}\nmkdir -p /var/lib/left && echo x >/var/lib/left/x\n"
    files = {"usr/bin/tool-distromatrix": script.encode()}
    return Package(name="tool-distromatrix", version=version, files=files, requires=requires)


# zypper cannot have an empty database, as Debian's rpm has at first.
STAYS = Package(name="stays-distromatrix", files={"usr/share/stays": b"stays\n"})


@pytest.fixture(scope="module")
def worlds(
    tmp_path_factory: pytest.TempPathFactory, docker_alpine: str
) -> Iterator[tuple[Families, Path]]:
    """Distros that have version 1.0, and a folder with files of 2.0."""
    world = World(open_engine("docker"), load_settings())
    words = Package(name="words-distromatrix", files={"usr/share/words": b"hello\n"})
    with workshop(world) as tools:
        archive = tools.build(tmp_path_factory.mktemp("archive"), (release("1.0"), words, STAYS))
        newer = (release("2.0", "words-distromatrix"),)
        files = tools.build(tmp_path_factory.mktemp("files"), newer).folder
        gateway = tools.gateway
    with served(archive, gateway) as server:
        families = Families(world, archive, server, docker_alpine)
        yield families, files
    families.clean()


@pytest.mark.parametrize("manager", ["apt", "dnf", "zypper", "apk"])
def test_a_file_is_an_upgrade_with_what_it_needs_and_its_removal_tells_what_stays(
    worlds: tuple[Families, Path], manager: str
) -> None:
    families, folder = worlds
    distro = families.distro(manager)
    world = World(families.world.engine, Settings())
    asked = cell(distro, packages=(f"./dist/*.{ENDS[manager]}",), upgrade=True, remove=True)
    (file,) = (folder / READS[manager]).rglob(f"tool-distromatrix*.{ENDS[manager]}")
    log = bytearray()
    with world.machine(world.images.base(distro).image.id) as machine:
        machine.put(tar_of(((f"work/dist/{file.name}", file.read_bytes(), 0o644),)), "/")

        def run(script: str) -> int | None:
            command = Command(script, cwd="/work", output=log.extend, timeout=300)
            return machine.run(command).status

        told(machine, MANAGERS[manager].install(("stays-distromatrix",)))
        assert run(asked.setup[0]) == 0, log.decode()
        assert told(machine, "tool-distromatrix; cat /usr/share/words") == "2.0\nhello"
        assert run(asked.removal) == 0, log.decode()
        assert told(machine, "command -v tool-distromatrix || echo gone") == "gone"
    text = log.decode()
    assert "installing the distribution's own tool-distromatrix" in text
    assert f"installing ./dist/{file.name}" in text
    behind = text.rpartition("what stayed behind")[2].splitlines()
    assert "/var/lib/left/x" in behind
    assert not [line for line in behind if "words" in line or "/usr/bin/tool" in line]


def test_a_file_of_which_something_is_missing_fails_with_the_tools_words(
    worlds: tuple[Families, Path],
) -> None:
    families, folder = worlds
    distro = replace(families.distro("apt"))
    world = World(families.world.engine, Settings())
    asked = cell(distro, packages=("./dist/*.deb",), network=False)
    (file,) = (folder / "deb").rglob("tool-distromatrix*.deb")
    log = bytearray()
    with world.machine(world.images.base(distro).image.id) as machine:
        machine.put(tar_of(((f"work/dist/{file.name}", file.read_bytes(), 0o644),)), "/")
        command = Command(asked.setup[0], cwd="/work", output=log.extend, timeout=300)
        assert machine.run(command).status != 0
    assert "words-distromatrix" in log.decode()
