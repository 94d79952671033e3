"""An engine, an image and a snapshot for each test; afterwards nothing of it is left."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from distromatrix.engines import open_engine
from distromatrix.engines.contract import (
    LABEL_FOLDER,
    LABEL_HOST,
    LABEL_RUN,
    Command,
    Engine,
    Exit,
    Leftover,
    Machine,
    MachineSpec,
    Stage,
)
from distromatrix.engines.docker.connection.api import DOCKER, PODMAN
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.engines.vagrant.engine import VagrantEngine
from distromatrix.files import small_tar
from fake_engine.engine import FakeEngine


def tar_of(files: dict[str, bytes | None]) -> bytes:
    """A tar of files, or of folders where the content is None."""
    return small_tar.tar_of((name, content, 0o755) for name, content in files.items())


def untar(chunks: object) -> dict[str, bytes]:
    """The regular files of a tar stream."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:  # type: ignore[call-overload]
        return {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}  # type: ignore[union-attr]


def said(machine: Machine, script: str, **how: object) -> tuple[Exit, bytes]:
    """Run it; how it ended and what it printed."""
    out: list[bytes] = []
    done = machine.run(Command(script, output=out.append, **how))  # type: ignore[arg-type]
    return done, b"".join(out)


def heard(machine: Machine, script: str, **how: object) -> tuple[int | None, bytes, bytes]:
    """Run it; its status, and what it printed on stdout and on stderr."""
    out: list[bytes] = []
    err: list[bytes] = []
    done = machine.run(Command(script, output=out.append, errors=err.append, **how))  # type: ignore[arg-type]
    return done.status, b"".join(out), b"".join(err)


@dataclass
class Tar:
    """A product that nobody keeps."""

    path: Path
    keeper: None = None

    def tar(self) -> Path:
        return self.path


@dataclass
class Bench:
    """An engine to test, with what it makes labelled as one run's."""

    engine: Engine
    image: str
    snapshot: Path
    again: Callable[[], Engine]  # the same engine, as another process sees it
    run: str = field(default_factory=lambda: f"test-{secrets.token_hex(6)}")

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL_RUN: self.run, LABEL_FOLDER: "/somewhere", LABEL_HOST: "host"}

    def spec(self, **other: object) -> MachineSpec:
        name = f"distromatrix-test-{secrets.token_hex(6)}"
        values = {"name": name, "image": self.image, "labels": self.labels, "network": False}
        return MachineSpec(**{**values, **other})  # type: ignore[arg-type]

    def open(self, stage: Stage | None = None, **other: object) -> Machine:
        return self.engine.open(self.spec(**other), stage)

    def stage(self) -> Stage:
        return self.engine.stage(Tar(self.snapshot), image=self.image, labels=self.labels)

    def leftovers(self) -> tuple[Leftover, ...]:
        return tuple(one for one in self.again().leftovers() if one.run == self.run)

    def clean(self) -> None:
        """Twice, because a stage is let go of by the machines that stand on it."""
        for one in (*self.leftovers(), *self.leftovers()):
            self.engine.remove(one)


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    file = tmp_path / "snapshot.tar"
    members = {"product": None, "product/hello": b"hello\n", "product/sub": None}
    file.write_bytes(tar_of({**members, "product/sub/deep": b"deep"}))
    return file


@pytest.fixture
def fake_bench(tmp_path: Path, snapshot: Path) -> Bench:
    engine = FakeEngine(tmp_path / "fake")
    engine.images.load_rootfs(io.BytesIO(tar_of({"etc": None})), "distromatrix/test:fake", {})
    return Bench(engine, "distromatrix/test:fake", snapshot, lambda: FakeEngine(tmp_path / "fake"))


def bench_of(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        bench = request.getfixturevalue("fake_bench")
    elif request.param == "vagrant":
        engine: Engine = VagrantEngine(DockerEngine())
        image = request.getfixturevalue("debian_system")
        snapshot = request.getfixturevalue("snapshot")
        bench = Bench(engine, image, snapshot, lambda: VagrantEngine(DockerEngine()))
    elif request.param == "qemu":
        bench = request.getfixturevalue("qemu_bench")
    else:
        name, _, staging = request.param.partition("-")
        access = {"docker": DOCKER, "podman": PODMAN}[name]
        engine = DockerEngine(staging=staging or None, access=access)
        image = request.getfixturevalue(f"{name}_alpine")
        snapshot = request.getfixturevalue("snapshot")
        bench = Bench(engine, image, snapshot, lambda: open_engine(name))
    yield bench
    bench.clean()
    assert bench.leftovers() == ()
    bench.engine.close()


SLOW = pytest.mark.slow
IN_DOCKER = pytest.mark.engine
IN_PODMAN = (pytest.mark.engine, pytest.mark.podman)
IN_GUEST = (pytest.mark.engine, pytest.mark.guest, SLOW)
IN_QEMU = (pytest.mark.engine, pytest.mark.guest)
_OTHERS = [
    pytest.param("podman", marks=IN_PODMAN),
    pytest.param("vagrant", marks=IN_GUEST),
    pytest.param("qemu", marks=IN_QEMU),
]
REAL = [pytest.param("docker", marks=IN_DOCKER), *_OTHERS]
# Root may what another user may.
USERS = pytest.mark.parametrize("user", [pytest.param("root", marks=SLOW), "1234:4321"])
# Where one engine is enough in `make test`: what is the same shell's.
ONE = ["fake", REAL[0], *(pytest.param(*p.values, marks=(*p.marks, SLOW)) for p in _OTHERS)]
with_docker = pytest.mark.parametrize("bench", ONE, indirect=True)
STAGING = [
    pytest.param("docker-overlay", marks=IN_DOCKER),
    pytest.param("docker-archive", marks=IN_DOCKER),
    *_OTHERS,
]
# Where each way to stage is enough in `make test`: Podman gets archives.
EACH_STAGING = [
    "fake",
    STAGING[0],
    pytest.param("docker-archive", marks=(IN_DOCKER, SLOW)),
    *_OTHERS,
]
# Where guests take ten seconds of a processor for what a shorter test proves of them.
LONG_IN_GUESTS, LONG_IN_GUESTS_STAGING = (
    ["fake", *engines[:-1], pytest.param("qemu", marks=(*IN_QEMU, SLOW))]
    for engines in (REAL, STAGING)
)


@pytest.fixture
def qemu_bench(guest_image: str, snapshot: Path) -> Bench:
    engine = open_engine("qemu")
    return Bench(engine, guest_image, snapshot, lambda: open_engine("qemu"))


@pytest.fixture(params=["fake", *REAL])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each engine."""
    yield from bench_of(request)


@pytest.fixture(params=["fake", *STAGING])
def staging_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each engine with each way to stage."""
    yield from bench_of(request)


@pytest.fixture(params=REAL)
def real_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each engine whose machines have a system of their own."""
    yield from bench_of(request)


@pytest.fixture(params=STAGING)
def real_staging_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The same with each way to stage."""
    yield from bench_of(request)


@pytest.fixture(scope="module")
def handed_on() -> Iterator[dict[str, tuple[Bench, Machine]]]:
    """The machines that a file's tests have one after the other, by their engine."""
    opened: dict[str, tuple[Bench, Machine]] = {}
    yield opened
    for bench, machine in opened.values():
        machine.close()
        assert bench.leftovers() == ()
        bench.engine.close()


@pytest.fixture
def machine(bench: Bench, handed_on: dict[str, tuple[Bench, Machine]]) -> Iterator[Machine]:
    """An open machine of each engine. Of a real one it has run what earlier tests asked for, as a
    cell's has run its setup, and nothing of that goes on; whoever ends it has the next one opened.
    """
    name = bench.engine.name
    if name == "fake":
        own = bench.open()
        yield own
        own.close()
        return
    if name not in handed_on:
        keeper = replace(bench, engine=bench.again(), run=f"{bench.run}-on")
        handed_on[name] = keeper, keeper.open()
    keeper, opened = handed_on[name]
    yield opened
    if not opened.signal_left("KILL"):
        opened.close()
        keeper.engine.close()
        del handed_on[name]
