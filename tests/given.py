"""What the tests need to be given: an engine, and a real Alpine; or the words for its absence."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from platformdirs import user_cache_path

from distromatrix.engines import open_engine
from distromatrix.engines.contract import Engine
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.engines.image_store import Image
from distromatrix.errors import InfrastructureError
from distromatrix.images import Handed, Images
from distromatrix.load.catalogue import load_distros
from distromatrix.load.settings import load_settings
from distromatrix.model import Cell, Distro

ALPINE = "alpine-minirootfs-3.20.3-x86_64.tar.gz"
ROOT = Path(__file__).parent.parent
# Of pytest that tests start, with its workers: these plugins cost most of what each of these
# processes takes.
FEW_PLUGINS = "-p no:hypothesispytest -p no:platformdirs -p no:rerunfailures"


def unobtainable(reason: str) -> NoReturn:
    """A test that needs something must not pass as skipped where it was promised."""
    if os.environ.get("DISTROMATRIX_REQUIRE_ENGINE"):
        pytest.fail(f"DISTROMATRIX_REQUIRE_ENGINE is set, and {reason}", pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")


@functools.cache
def no_engine(name: str = "docker") -> str:
    """Why that engine does not answer, or ''."""
    try:
        engine = open_engine(name)
        engine.facts()
    except InfrastructureError as error:
        return str(error)
    finally:
        engine.close()
    return ""


@functools.cache
def no_guests() -> str:
    """Why no direct guest can be opened here, or ''."""
    from distromatrix.engines.guest.qemu_program import static_busybox

    try:
        open_engine("qemu").ping()
        static_busybox()
    except InfrastructureError as error:
        return str(error)
    return ""


def guest_image_of(engine: Engine, distro: str, kind: str, *packages: str) -> str:
    """The tag of an image that a guest of that engine (`qemu`, `vagrant`) boots, with packages.
    Raises InfrastructureError."""
    images, found, cell = _wanted(engine, distro, kind, packages)
    prepared = images.prepared(found, cell, lambda _: (), Handed())
    return images.guest(found, cell, prepared).image.tag


def image_of(engine: Engine, distro: str, *packages: str) -> Image:
    """The image of a container with packages. Raises InfrastructureError."""
    images, found, cell = _wanted(engine, distro, engine.name, packages)
    return images.prepared(found, cell, lambda _: (), Handed()).image


def _wanted(
    engine: Engine, distro: str, kind: str, packages: tuple[str, ...]
) -> tuple[Images, Distro, Cell]:
    found = next(d for d in load_distros(None) if d.name == distro)
    cache = user_cache_path("distromatrix")
    images = Images(engine, load_settings(), cache=cache, emit=lambda _: None)
    cell = Cell(
        id=f"{distro}/test",
        distro=distro,
        suite="test",
        engine=kind,
        reason="",
        run=":",
        packages=packages,
    )
    return images, found, cell


@functools.cache
def alpine_archive() -> Path | None:
    """The Alpine root filesystem, from $DISTROMATRIX_ARCHIVES or beside the checkout."""
    named = os.environ.get("DISTROMATRIX_ARCHIVES") or str(ROOT.parent / "shared/images")
    files = (Path(folder) / ALPINE for folder in named.split(":"))
    return next((file for file in files if file.is_file()), None)


def alpine_or_pulled() -> Path:
    """That archive, or where there is none, one made from the registry's image."""
    return alpine_archive() or _exported()


@functools.cache
def _exported() -> Path:
    from filelock import FileLock

    folder = user_cache_path("distromatrix") / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "alpine-3.20.tar"
    with FileLock(folder / "lock"):
        if not made.exists():
            engine = DockerEngine()
            try:
                tag = "distromatrix/test-alpine:exported"
                image = engine.images.pull("docker.io/library/alpine:3.20", tag, lambda _: None)
                with engine._api.calling("export Alpine") as client:
                    container = client.create_container(image.id)["Id"]
                    part = made.with_suffix(".part")
                    with part.open("wb") as out:
                        out.writelines(client.export(container))
                    client.remove_container(container)
                part.replace(made)
            except InfrastructureError as error:
                unobtainable(f"there is no Alpine: {error}")
            finally:
                engine.close()
    return made


@functools.cache
def no_vagrant() -> str:
    """Why Vagrant's guests cannot be opened here, or ''."""
    from distromatrix.engines.vagrant.engine import VagrantEngine

    try:
        VagrantEngine(DockerEngine()).facts()
    except InfrastructureError as error:
        return str(error)
    return ""


@contextmanager
def stdin_of(file: Path) -> Iterator[None]:
    """With a file for this process's standard input."""
    before, given = os.dup(0), os.open(file, os.O_RDONLY)
    try:
        os.dup2(given, 0)
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(given)
