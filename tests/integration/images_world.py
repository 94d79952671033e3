"""The real engine and the catalogue, for tests of images; and Alpine with a signed package
repository of the test's own inside."""

from __future__ import annotations

import hashlib
import io
import platform
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

from apk_format import KEY_NAME, apk_repository
from platformdirs import user_cache_path

from distromatrix.engines.contract import Command, Engine, Machine, MachineSpec
from distromatrix.images import Handed, Images, Prepared
from distromatrix.load.catalogue import load_distros
from distromatrix.load.settings import Settings
from distromatrix.model import (
    Archive,
    Cell,
    Distro,
    HostFacts,
    Matrix,
    Product,
    Selection,
    Suite,
)
from distromatrix.plan.make import make_plan
from distromatrix.record.events import Event

ARCH = platform.machine()


@dataclass
class World:
    """Images on the real engine. What is made above the base images is removed by `clean`;
    base images of the catalogue stay, as bootstrapping one takes half a minute."""

    engine: Engine
    settings: Settings
    events: list[Event] = field(default_factory=list)
    made: set[str] = field(default_factory=set)
    images: Images = field(init=False)

    def __post_init__(self) -> None:
        cache = user_cache_path("distromatrix")
        self.images = Images(self.engine, self.settings, cache=cache, emit=self.events.append)

    def prepared(self, distro: Distro, handed: Handed | None = None, **suite: object) -> Prepared:
        """The image for a suite that asks for this, on a layer of this test's own."""
        files = lambda globs: (("requirements.txt", b"six==1.16.0\n", 0o644),)  # noqa: E731
        result = self.images.prepared(distro, cell(distro, **suite), files, handed or Handed())
        if result.image.tag.startswith("distromatrix/prepared:"):
            self.made.add(result.image.tag)
        return result

    @contextmanager
    def machine(self, image: str, user: str = "root") -> Iterator[Machine]:
        name = f"distromatrix-test-{uuid4().hex[:12]}"
        machine = self.engine.open(MachineSpec(name=name, image=image, user=user))
        try:
            yield machine
        finally:
            machine.close()

    def clean(self) -> None:
        for tag in self.made:
            self.engine.images.remove(tag)


def told(machine: Machine, script: str, env: Mapping[str, str] = MappingProxyType({})) -> str:
    """What a script prints in a machine; it must succeed."""
    output = bytearray()
    ended = machine.run(Command(script, env=env, output=output.extend, timeout=300))
    assert ended.status == 0, output.decode(errors="replace")
    return output.decode(errors="replace").strip()


def catalogued(name: str) -> Distro:
    return next(d for d in load_distros(None) if d.name == name)


def cell(distro: Distro, **suite: object) -> Cell:
    """The planned cell of a suite: its packages have their native names."""
    suites = (Suite(**{"name": "unit", "run": "true", **suite}),)
    here = Path("/nowhere")
    matrix = Matrix(
        file=here, root=here, product=Product(path=here), distros=(distro,), suites=suites
    )
    facts = HostFacts(arch="x86_64", cpus=1, memory=2**33, today=date(2026, 1, 1))
    return make_plan(matrix, facts, Selection()).cells[0]


# --- an Alpine with packages of our own ------------------------------------------------------


def alpine_with_repository(alpine: Path, folder: Path, packages: Mapping[str, str]) -> Distro:
    """Alpine whose only repository is a signed one inside it, holding `packages`: name of the
    package -> what the command of that name prints."""
    made = folder / "repository"
    programs = {n: {f"usr/bin/{n}": f"#!/bin/sh\necho {t}\n".encode()} for n, t in packages.items()}
    public = apk_repository(made, ((n, "1.0", files, ()) for n, files in programs.items()))
    extra = {
        "etc/apk/repositories": (b"/srv/repository\n", 0o644),
        f"etc/apk/keys/{KEY_NAME}": (public, 0o644),
        **{f"srv/repository/{ARCH}/{f.name}": (f.read_bytes(), 0o644) for f in made.iterdir()},
    }
    return rebuilt(alpine, folder, "alpine-test", extra)


def rebuilt(
    alpine: Path, folder: Path, name: str, extra: Mapping[str, tuple[bytes, int]]
) -> Distro:
    """A distro whose archive is Alpine's with other files."""
    archive = folder / f"{name}.tar"
    with tarfile.open(alpine) as old, tarfile.open(archive, "w") as new:
        for member in old:
            if member.name.removeprefix("./") not in extra:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
        for path, (content, mode) in extra.items():
            new.addfile(_member(f"./{path}", content, mode), io.BytesIO(content))
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Distro(
        name=name,
        title=name,
        family="alpine",
        package_manager="apk",
        libc="musl",
        image=(Archive(file=archive.name, sha256=sha256),),
        packages={"greeting": ("hello-distromatrix",)},
        file=folder / f"{name}.yaml",
    )


def _member(path: str, content: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    return member
