"""Runs that prepare images at the same time, or are killed amid it, and what they download: each
file once, none half, nothing left."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from breaking_world import Project, ended, killed, remove_images, until
from images_world import World
from local_repositories import Package, program, served, workshop
from package_worlds import Families

from distromatrix.engines import open_engine
from distromatrix.images.base.sources import base_tag
from distromatrix.images.layer.layers import LABEL_BASE
from distromatrix.images.store.downloads import DOWNLOADS
from distromatrix.load.settings import Settings, load_settings
from distromatrix.model import Pull
from given import alpine_or_pulled

pytestmark = [pytest.mark.engine, pytest.mark.slow]
HELLO, OTHER, BIG = "hello-distromatrix", "other-distromatrix", "big-distromatrix"
PACKAGES = (
    program(HELLO, "hello", requires=("words-distromatrix",)),
    program("words-distromatrix", "words"),
    program(OTHER, "other"),
    # What takes a moment to be kept.
    Package(name=BIG, files={"opt/big": os.urandom(16 << 20)}),
)


@pytest.fixture(scope="module")
def families(docker_alpine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Families]:
    world = World(open_engine("docker"), load_settings())
    with workshop(world) as tools:
        kinds = ("deb", "pacman")
        built = tools.build(tmp_path_factory.mktemp("made"), PACKAGES, kinds=kinds, signed="all")
        gateway = tools.gateway
    with served(built, gateway) as server:
        families = Families(world, built, server, docker_alpine)
        yield families
    families.clean()


class Runs:
    """Projects of a distro of that package manager, with a host and a cache folder of their own."""

    def __init__(self, families: Families, manager: str, root: Path) -> None:
        self.server, self._root = families.server, root
        self._distro = families.distro(manager)
        self._base = families.world.engine.images.find(
            base_tag(self._distro, self._distro.image[0], Settings())
        )
        self._environ: dict[str, str] = {}
        self._made: list[Project] = []
        self.since = len(self.server.requests)

    def project(self, *packages: str) -> Project:
        """One of a suite with these packages, whose layer no other test has."""
        root = self._root / f"p{len(self._made)}"
        made = Project(root, alpine_or_pulled().parent, distro=self._distro.name)
        if not self._environ:
            made.on_a_host_of_its_own()
            made.environ["XDG_CACHE_HOME"] = str(self._root / "cache")
            self._environ = made.environ
        made.environ = self._environ
        self._made.append(made)
        (source,) = self._distro.image
        assert isinstance(source, Pull)
        manager = self._distro.package_manager
        keys = {"package_manager": manager, "family": "other", "libc": "glibc"}
        made.add_distro(made.distro, **keys, image=[{"pull": source.ref}])
        suite = {"packages": list(packages), "prepare": f": {self._root}"}
        run = "; ".join(name for name in packages if name != BIG) or ":"
        given = {"network": True, "memory": "256M", "timeout": "5m"}
        made.suites({"s": {**suite, "run": run}}, defaults=given)
        return made

    def asked(self) -> list[str]:
        """The packages that were asked for, as often as they were."""
        names = "|".join(package.name for package in PACKAGES)
        told = self.server.requests[self.since :]
        found = (re.search(rf"/({names})[-_][0-9][^/]*(?<!\.sig)$", path) for path in told)
        return sorted(one[1] for one in found if one)

    @property
    def folder(self) -> Path:
        """The store of downloads."""
        return self._root / "cache/distromatrix" / DOWNLOADS

    def sound(self) -> int:
        """How many packages and indexes it holds, which are whole, and with nothing beside them."""
        files = list(self.folder.iterdir()) if self.folder.exists() else []
        for file in files:
            assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
        return len(files)

    def clean(self) -> None:
        engine = open_engine("docker")
        if self._base:
            remove_images(engine, LABEL_BASE, self._base.id)
        engine.close()
        for one in self._made:
            one.distro = str(self._root)  # no image's tag: the base is for the tests to come
            one.clean()


@pytest.fixture(params=["apt", "pacman"])
def runs(families: Families, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runs]:
    made = Runs(families, request.param, tmp_path)
    yield made
    for event in families.server.held.values():
        event.set()
    families.server.held.clear()
    made.clean()


def test_two_runs_at_once_prepare_an_image_once(runs: Runs) -> None:
    half = runs.server.held[f"/{HELLO}"] = Event()
    both = [runs.project(HELLO, OTHER) for _ in range(2)]
    processes = [one.start("run") for one in both]
    until(lambda: HELLO in runs.asked())
    until(lambda: any("waiting for another one" in one.journal() for one in both))
    half.set()
    for process in processes:
        done = ended(process, 600)
        assert done.code == 0, done.said
    assert runs.asked() == [HELLO, OTHER, "words-distromatrix"]
    assert runs.sound() >= 3
    for one in both:
        assert one.left() == []


def test_two_runs_at_once_of_layers_that_share_a_package_leave_it_whole(runs: Runs) -> None:
    one, other = runs.project(BIG, HELLO), runs.project(BIG, OTHER)
    processes = [made.start("run") for made in (one, other)]
    for process in processes:
        done = ended(process, 600)
        assert done.code == 0, done.said
    assert runs.sound() >= 4
    runs.since = len(runs.server.requests)
    third = runs.project(BIG, HELLO, OTHER)
    assert third.call("run").code == 0
    assert runs.asked() == []


def test_a_run_that_is_killed_amid_a_download_leaves_nothing_of_it(runs: Runs) -> None:
    half = runs.server.held[f"/{BIG}"] = Event()
    first = runs.project(BIG, HELLO)
    process = first.start("run")
    until(lambda: BIG in runs.asked())
    killed(process)
    half.set()
    runs.server.held.clear()
    assert runs.sound() == 0
    again = runs.project(BIG, HELLO)
    done = again.call("run")
    assert done.code == 0, done.said
    assert runs.sound() >= 3
    assert first.left() == again.left() == []


def test_a_run_that_is_killed_while_it_keeps_what_it_downloaded_leaves_no_half_file(
    runs: Runs,
) -> None:
    first = runs.project(BIG, HELLO)
    process = first.start("run")
    until(lambda: any(runs.folder.glob(".*/*")))
    killed(process)
    again = runs.project(BIG, HELLO, OTHER)
    done = again.call("run")
    assert done.code == 0, done.said
    assert runs.sound() >= 4
    assert first.left() == again.left() == []
