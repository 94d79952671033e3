"""Base images and prepared layers on the real engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from images_world import World, catalogued, told

from distromatrix.engines import open_engine
from distromatrix.errors import ImageError
from distromatrix.images import handed_over
from distromatrix.images.store.inventory import list_images
from distromatrix.load.settings import Settings, load_settings
from distromatrix.model import Distro, Prepare, Pull
from distromatrix.record.events import ImageProgress
from given import alpine_archive, unobtainable

pytestmark = pytest.mark.engine


@pytest.fixture
def world() -> Iterator[World]:
    archive = alpine_archive()
    if archive is None:
        unobtainable("there is no Alpine archive in $DISTROMATRIX_ARCHIVES")
    world = World(open_engine("docker"), Settings(archives=(archive.parent,)))
    yield world
    world.clean()


@pytest.fixture
def alpine(world: World) -> Iterator[Distro]:
    """Alpine whose registry is out of reach, under a name of this test's own."""
    catalogue = catalogued("alpine-3.20")
    name = f"alpine-{uuid4().hex[:8]}"
    nowhere = Pull(ref="registry.invalid/library/alpine:3.20")
    distro = replace(catalogue, name=name, image=(nowhere, *catalogue.image[1:]))
    yield distro
    world.clean()
    for row in list_images(world.engine.images):
        if row.distro == name:
            world.engine.images.remove(row.tag)


def test_an_archive_takes_the_place_of_a_registry_out_of_reach(
    world: World, alpine: Distro
) -> None:
    base = world.images.base(alpine)
    assert base.used.source == "archive"
    with world.machine(base.image.id) as machine:
        assert told(machine, "cat /etc/alpine-release") == "3.20.3"


def test_without_any_source_in_reach_each_failure_is_told(world: World, alpine: Distro) -> None:
    nowhere = World(world.engine, Settings())
    with pytest.raises(ImageError) as caught:
        nowhere.images.base(replace(alpine, file=Path("/nowhere/x.yaml")))
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + len(alpine.image)
    assert "registry.invalid" in lines[1]
    assert "DISTROMATRIX_ARCHIVES" in lines[2]
    assert "no package mirror" in lines[3]


def test_a_user_that_does_not_exist_is_made_and_owns_its_home(world: World, alpine: Distro) -> None:
    prepared = world.prepared(alpine, user="tester")
    again = world.prepared(alpine, user="tester")
    assert prepared == again
    with world.machine(prepared.image.id, prepared.user) as machine:
        assert told(machine, "id -un; touch ~/x && echo $HOME") == "tester\n/home/tester"


def test_a_user_that_exists_is_taken_as_it_is(world: World, alpine: Distro) -> None:
    assert world.prepared(alpine, user="nobody").user == "65534:65534"


def test_prepare_is_in_the_layer_and_its_files_are_not(world: World, alpine: Distro) -> None:
    prepare = Prepare(run="cp requirements.txt /opt/copy; pwd", files=("requirements.txt",))
    prepared = world.prepared(alpine, prepare=prepare)
    with world.machine(prepared.image.id) as machine:
        assert told(machine, "cat /opt/copy; ls -d /distromatrix* || :").startswith("six==1.16.0")
        assert "No such file" in told(machine, "ls -d /distromatrix 2>&1 || :")


def test_a_failing_prepare_leaves_its_output_and_no_image(world: World, alpine: Distro) -> None:
    with pytest.raises(ImageError, match="failed with status 3: gone wrong") as caught:
        world.prepared(alpine, prepare=Prepare(run="echo one; echo gone wrong >&2; exit 3"))
    assert caught.value.log == "one\ngone wrong\n"
    assert [r.kind for r in list_images(world.engine.images) if r.distro == alpine.name] == ["base"]


BUILD = """
import sys
from images_world import World, catalogued
from dataclasses import replace
from distromatrix.engines import open_engine
from distromatrix.load.settings import load_settings
from distromatrix.model import Prepare
alpine = catalogued("alpine-3.20")
alpine = replace(alpine, name=sys.argv[1], image=alpine.image[1:])
world = World(open_engine("docker"), load_settings())
run = "sleep 1; cat /proc/sys/kernel/random/uuid > /opt/made"
print(world.prepared(alpine, prepare=Prepare(run=run)).image.id)
print(*(e.text for e in world.events))
"""


def test_two_processes_at_once_build_once(world: World, alpine: Distro) -> None:
    archive = alpine_archive()
    assert archive is not None
    path = os.pathsep.join((*sys.path, str(Path(__file__).parent)))
    environ = {**os.environ, "PYTHONPATH": path, "DISTROMATRIX_ARCHIVES": str(archive.parent)}
    command = (sys.executable, "-c", BUILD, alpine.name)
    both = [
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0].splitlines() for process in both]
    assert said[0][0] == said[1][0]
    assert sum("running prepare" in lines[1] for lines in said) == 1


@pytest.mark.slow
def test_pip_installs_over_https_in_a_cell_as_the_host_does() -> None:
    world = World(open_engine("docker"), load_settings())
    handed = handed_over("host", "host", os.environ)
    try:
        prepared = world.prepared(
            catalogued("debian-12"),
            handed,
            packages=("python3", "pip"),
            prepare=Prepare(
                run="python3 -m pip install --break-system-packages -r requirements.txt",
                files=("requirements.txt",),
            ),
            user="tester",
        )
        with world.machine(prepared.image.id, prepared.user) as machine:
            assert told(machine, "python3 -c 'import six; print(six.__version__)'") == "1.16.0"
            told(machine, "python3 -m pip install --no-deps -t /tmp/x iniconfig", handed.env)
            assert told(machine, "ls -d /tmp/x/iniconfig") == "/tmp/x/iniconfig"
        assert any(
            "running prepare" in e.text for e in world.events if isinstance(e, ImageProgress)
        )
    finally:
        world.clean()
