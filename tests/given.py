"""What the tests need to be given: an engine, and a real Alpine; or the words for its absence."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from distromatrix.engines import open_engine
from distromatrix.engines.docker import DockerEngine
from distromatrix.errors import InfrastructureError

ALPINE = "alpine-minirootfs-3.20.3-x86_64.tar.gz"
ROOT = Path(__file__).parent.parent


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
    from platformdirs import user_cache_path

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
def debian_system_image() -> str:
    """The id of an image in Docker that is a whole system: Debian 12 with its kernel, systemd,
    sshd and sudo, made like any cell's whose guest Vagrant opens. It stays in the store."""
    from datetime import date

    from platformdirs import user_cache_path

    from distromatrix.images.hostnet import Handed
    from distromatrix.images.images import Images
    from distromatrix.load.catalogue import load_distros
    from distromatrix.load.settings import Settings
    from distromatrix.model import HostFacts, Matrix, Product, Selection, Suite
    from distromatrix.plan import make_plan

    engine = DockerEngine()
    try:
        cache = user_cache_path("distromatrix")
        images = Images(engine, Settings(), cache=cache, emit=lambda _: None)
        distro = next(one for one in load_distros(None) if one.name == "debian-12")
        matrix = Matrix(
            file=ROOT,
            root=ROOT,
            product=Product(path=ROOT),
            distros=(distro,),
            suites=(Suite(name="unit", run="true"),),
        )
        host = HostFacts(arch="x86_64", cpus=1, memory=2**33, today=date(2026, 1, 1))
        cell = replace(make_plan(matrix, host, Selection()).cells[0], engine="vagrant")
        prepared = images.prepared(distro, cell, lambda _globs: (), Handed())
        return images.guest(distro, cell, prepared).image.id
    except InfrastructureError as error:
        unobtainable(f"there is no Debian: {error}")
    finally:
        engine.close()


@functools.cache
def no_vagrant() -> str:
    """Why Vagrant's guests cannot be opened here, or ''."""
    from distromatrix.engines.vagrant import VagrantEngine

    try:
        VagrantEngine(DockerEngine()).facts()
    except InfrastructureError as error:
        return str(error)
    return ""
