"""A recording image store and machine: what was asked of them, and answers given before."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

from distromatrix.engines.contract import Address, Command, Exit, MachineSpec
from distromatrix.engines.image_store import NO_LABELS, Image
from distromatrix.images import Images
from distromatrix.model import Cell, Distro, ImageSource
from distromatrix.record.events import Event

ARCH = "x86_64"


@dataclass
class FakeStore:
    images: dict[str, Image] = field(default_factory=dict)
    pulls: list[str] = field(default_factory=list)
    answers: dict[str, list[str | Exception]] = field(default_factory=dict)  # the last one stays
    removed: list[str] = field(default_factory=list)
    arch: str = ARCH

    def find(self, tag: str) -> Image | None:
        return self.images.get(tag)

    def add(self, tag: str, id: str, labels: Mapping[str, str] | None = None) -> Image:
        self.images[tag] = Image(
            id=id, tag=tag, labels=dict(labels or {}), created=time.time(), arch=self.arch
        )
        return self.images[tag]

    def age(self, seconds: float) -> None:
        self.images = {
            tag: replace(i, created=i.created - seconds) for tag, i in self.images.items()
        }

    def pull(self, ref: str, tag: str, progress: Callable[[str], None]) -> Image:
        self.pulls.append(ref)
        answers = self.answers[ref]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return self.add(tag, answer)

    def load_rootfs(self, tar: BinaryIO, tag: str, labels: Mapping[str, str]) -> Image:
        return self.add(tag, "rootfs-" + hashlib.sha256(tar.read()).hexdigest()[:8], labels)

    def commit(self, machine: str, tag: str, labels: Mapping[str, str]) -> Image:
        return self.add(tag, f"commit-{len(self.images)}", labels)

    def list(self, labels: Mapping[str, str] = NO_LABELS) -> tuple[Image, ...]:
        return tuple(i for i in self.images.values() if labels.items() <= i.labels.items())

    def remove(self, tag: str) -> None:
        self.removed.append(tag)
        self.images.pop(tag, None)


@dataclass(eq=False)
class FakeMachine:
    spec: MachineSpec
    reply: Callable[[str], tuple[int | None, str]]
    ran: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    closed: bool = False
    killed: threading.Event = field(default_factory=threading.Event)

    def run(self, command: Command) -> Exit:
        self.ran.append((command.script, dict(command.env), command.cwd))
        status, text = self.reply(command.script)
        if command.output and text:
            command.output(text.encode())
        return Exit(status=status, seconds=0.0, hung="sleep 9999" if status is None else "")

    def put(self, tar: bytes, path: str) -> None:
        with tarfile.open(fileobj=io.BytesIO(tar)) as members:
            for member in members:
                content = members.extractfile(member)
                assert content is not None
                name = f"{path.rstrip('/')}/{member.name}"
                self.files[name] = (content.read(), member.mode)

    @property
    def address(self) -> Address:
        return Address(name=self.spec.name, id=self.spec.name)

    def kill(self) -> None:
        self.killed.set()

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeEngine:
    images: FakeStore = field(default_factory=FakeStore)
    machines: list[FakeMachine] = field(default_factory=list)
    reply: Callable[[str], tuple[int | None, str]] = lambda script: (
        0,
        "distromatrix-user 1000:1000\n" if "distromatrix-user" in script else "",
    )

    def facts(self) -> SimpleNamespace:
        return SimpleNamespace(arch=ARCH, local=False)

    def open(self, spec: MachineSpec) -> FakeMachine:
        self.machines.append(FakeMachine(spec, self.reply))
        return self.machines[-1]


@dataclass
class FakeSettings:
    archives: tuple[Path, ...] = ()
    registry: str = "docker.io"
    package_mirror: str = ""
    archive: bool = False
    advice: str = ""
    offline: bool = False

    def reference(self, ref: str) -> str:
        return ref.replace("docker.io", self.registry)

    def mirror(self, distro: Distro) -> str:
        return self.package_mirror

    def archived(self, distro: Distro) -> bool:
        return self.archive

    def archive_advice(self, distro: Distro) -> str:
        return self.advice


@dataclass
class World:
    """All that an `Images` stands on, and what it said."""

    cache: Path
    engine: FakeEngine = field(default_factory=FakeEngine)
    settings: FakeSettings = field(default_factory=FakeSettings)
    events: list[Event] = field(default_factory=list)

    def images(self) -> Images:
        """A new process, as it were: nothing remembered."""
        return Images(
            self.engine,  # type: ignore[arg-type]
            self.settings,
            cache=self.cache,
            emit=self.events.append,
        )

    @property
    def said(self) -> Iterator[str]:
        return (getattr(e, "text", "") for e in self.events)


def distro(*sources: ImageSource, name: str = "debian-12", **more: object) -> Distro:
    return Distro(
        **{
            "name": name,
            "title": name,
            "family": "debian",
            "package_manager": "apt",
            "libc": "glibc",
            "image": sources,
            **more,
        }
    )


def cell(**more: object) -> Cell:
    return Cell(
        **{
            "id": "debian-12/unit",
            "distro": "debian-12",
            "suite": "unit",
            "engine": "fake",
            "reason": "",
            "run": "true",
            **more,
        }
    )
