"""A small world to execute plans in: the fake engine, and images that are there at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any, cast

from distromatrix.engines import Engines
from distromatrix.engines.image_store import Image
from distromatrix.errors import DistromatrixError
from distromatrix.execute.cell.opening import Opening
from distromatrix.execute.executor import Executor
from distromatrix.execute.job import Job, Options
from distromatrix.execute.product.snapshot import take
from distromatrix.execute.sweep import labels_of
from distromatrix.files.small_tar import tar_of
from distromatrix.images import Handed, Images, Prepared
from distromatrix.model import (
    Cell,
    CellResult,
    Distro,
    Facts,
    Guest,
    ImageUsed,
    Plan,
    Product,
    RunResult,
)
from distromatrix.plan.needs import GUESTS
from distromatrix.record.events import CellFinished, Event
from distromatrix.record.folder import RunFolder
from fake_engine.engine import FakeEngine
from fake_engine.state import Faults
from given import FEW_PLUGINS
from quick_python import NAME

# A product's own, in a cell (see the fixture `quick`): other plugins cost more than its tests.
OWN_PYTEST = f"{NAME} -m pytest -p no:cacheprovider -p no:distromatrix {FEW_PLUGINS}"


@dataclass
class ReadyImages:
    """One image for every cell; `faults` by distro are raised instead, `slow` wait for `cancel`."""

    engine: FakeEngine
    faults: dict[str, DistromatrixError] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    guests: list[str] = field(default_factory=list)
    absent: tuple[str, ...] = ()
    cancelled: Flag = field(default_factory=Flag)

    def prepared(self, distro: Distro, cell: Cell, files: object, handed: Handed) -> Prepared:
        self.asked.append(cell.id)
        if distro.name in self.slow:
            assert self.cancelled.wait(20)
            raise self.faults[distro.name]
        if distro.name in self.faults:
            raise self.faults[distro.name]
        image = self.engine.images.find("distromatrix/test:fake")
        assert image is not None
        used = ImageUsed(source="archive", id=image.id)
        return Prepared(image=image, used=used, user="root", absent=self.absent)

    def guest(self, distro: Distro, cell: Cell, prepared: Prepared) -> Prepared:
        self.guests.append(cell.id)
        return prepared

    def facts(self, image: Image) -> Facts:
        return Facts(image=image.id, libc="glibc", packages={"dash": "0.5.12-2"})

    def cancel(self) -> None:
        self.cancelled.set()


class World:
    """`execute` runs cells; what happened is in `events`, what is left in `left()`."""

    def __init__(self, folder: Path, engine: FakeEngine | None = None) -> None:
        self.folder = folder
        self.engine = engine or FakeEngine(folder / "engine")
        self.engines = Engines(self.engine)
        self.images = ReadyImages(self.engine)
        self.here: dict[str, str] = {}  # engines of guests; '' where one can be used
        self.events: list[Event] = []
        self.secrets: dict[str, str] = {}
        self.common: dict[str, tuple[str, ...]] = {}  # names of packages
        self.on_event: Callable[[Event, Executor], None] = lambda event, executor: None
        (folder / "product").mkdir()
        (folder / "product" / "hello").write_text("hello\n")
        self.engine.images.load_rootfs(io.BytesIO(tar_of(())), "distromatrix/test:fake", {})

    def faults(self, **faults: Any) -> None:
        self.engine._state._faults = Faults(**faults)

    def guest_faults(self, name: str = "qemu", **faults: Any) -> None:
        cast(FakeEngine, self.engines.of(name))._state._faults = Faults(**faults)

    def execute(
        self, *cells: Cell, repeat: int = 1, seed: int | None = None, **options: Any
    ) -> RunResult:
        plan = Plan(
            matrix=self.folder / "matrix/default.yaml",
            root=self.folder,
            product=Product(path=self.folder / "product"),
            cells=cells,
            distros=tuple(
                replace(distro(name), packages=self.common)
                for name in dict.fromkeys(c.distro for c in cells)
            ),
            repeat=repeat,
            seed=seed,
            guests=self.here,
        )
        self.plan = plan
        with RunFolder.create(self.folder) as run:
            self.run = run.path
            snapshot = take(plan.product, run.snapshot)
            opening = Opening(
                engines=self.engines,
                images=cast(Images, self.images),
                handed=Handed(),
                secrets=self.secrets,
                run=run.id,
                labels=labels_of(run),
                snapshot=lambda: snapshot,
            )
            job = Job(
                plan=plan,
                opening=opening,
                folder=run,
                emit=self.heard,
                options=Options(**options),
            )
            self.executor = Executor(job)
            return self.executor.run()

    def heard(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event, self.executor)

    def finished(self) -> list[str]:
        return [e.result.id for e in self.events if isinstance(e, CellFinished)]

    def left(self) -> list[str]:
        self.faults()
        for name in GUESTS:
            self.guest_faults(name)
        engines = (self.engine, *map(self.engines.of, GUESTS))
        return [one.name for engine in engines for one in engine.leftovers()]


def later(work: Callable[[], object]) -> None:
    Thread(target=work, daemon=True).start()


def by_id(result: RunResult) -> Mapping[str, CellResult]:
    return {r.id: r for r in result.cells}


def distro(name: str) -> Distro:
    return Distro(
        name=name,
        title=name,
        family="other",
        package_manager="none",
        libc="musl",
        image=(),
        eol=date(2099, 1, 1),
        guest=Guest(kernel="linux", system=("init",)),
    )


def cell(id: str, run: str = "true", **other: Any) -> Cell:
    name, _, suite = id.partition("/")
    values: dict[str, Any] = {
        "suite": suite,
        "engine": "fake",
        "reason": "",
        "memory": 2**20,
        "cpus": 0.1,
    }
    return Cell(id=id, distro=name, run=run, **{**values, **other})
