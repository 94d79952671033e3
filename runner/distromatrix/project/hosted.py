"""A run on a host that is not the client's: its folder, the product, the engines, and the batches
under way. What the client orders is trusted as it is; what a cell made is not to be believed there,
and no more than a shard's is."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from threading import Condition, Lock, Thread
from threading import Event as ThreadEvent
from typing import Any

from distromatrix.collect.facts import machines_of
from distromatrix.errors import DistromatrixError, InfrastructureError
from distromatrix.execute.cell.opening import Stages
from distromatrix.execute.executor import Executor
from distromatrix.execute.job import Job, Options
from distromatrix.execute.product.snapshot import Snapshot, stored
from distromatrix.execute.queue.slots import MEMORY_SHARE, Slots
from distromatrix.files.user_folders import cache_folder
from distromatrix.load.settings import Settings
from distromatrix.model import Plan, Product
from distromatrix.plan.needs import GUESTS
from distromatrix.project.session import opened_engines, opening_of
from distromatrix.record.events import (
    CellFinished,
    CellOutput,
    Event,
    RepeatFinished,
    RunFinished,
    RunStarted,
)
from distromatrix.record.folder import RunFolder, remove_dead, remove_folder
from distromatrix.record.repetitions import run_id

CLUSTER = "cluster"  # the folder in the cache with a folder for each project of a client's
KIND = "builds"  # of the folders: what dead processes left of these is removed
LOOK = 0.25  # seconds between two looks whether a batch is still wanted; events go as often

INLINE = 64 << 10  # bytes of what a cell made that travel with its result
_ENDING = 30.0  # seconds that the end of a run waits for its machines to be closed
_STUCK = 900.0  # seconds after which nothing that is under way ends any more
FILES = ("snapshot.tar", "snapshot.json")  # the product's, as in a run's folder

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A file that a host gets: its size in bytes, and its sha256."""

    size: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a host is to do: `plan` has the cells of one batch that are left, `options` their
    repetitions that are done. `project` is the same for all runs of a project; `product`: the
    files of FILES by name; `beside`: files that the plan names, by their paths there."""

    plan: Plan
    options: Options
    secrets: Mapping[str, str] = field(repr=False)
    project: str
    product: Mapping[str, Sent]
    beside: Mapping[str, bytes] = field(repr=False)
    offline: bool


def root_of(project: str) -> Path:
    """The folder on a host that stands for a project of a client's."""
    path = cache_folder() / CLUSTER / project
    path.mkdir(parents=True, exist_ok=True)
    return path


class HostedRun:
    """See above. `tell` sends the client a message."""

    def __init__(self, project: str, settings: Settings, tell: Tell) -> None:
        self.used = time.monotonic()
        self._tell = tell
        self._settings = settings
        self._root = root_of(project)
        remove_dead(self._root, KIND)
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(RunFolder.create(self._root, kind=KIND))
        self._stages = Stages()
        self._changed = Condition()
        self._here: set[str] = set()
        self._asked = False
        self._snapshot: Snapshot | None = None
        self._numbers = count()  # of what cells made
        self._active: dict[str, Executor] = {}
        self._ended = False
        self._cut_short = False
        try:
            self._engines = self._stack.enter_context(opened_engines(settings))
        except BaseException:
            self.close()
            raise

    # --- the product -----------------------------------------------------------------------

    def receive(self, name: str, offset: int, data: bytes, digest: str) -> None:
        """A piece of a file of FILES, in order; the last one has its `digest`. Raises OSError,
        ValueError."""
        path = self._folder.path / FILES[FILES.index(name)]
        with path.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(data)
        if digest:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    raise ValueError(f"{name} has come with another digest than it was sent with")
            with self._changed:
                self._here.add(name)
                self._changed.notify_all()

    def _product(self, orders: Orders, wanted: Callable[[], bool]) -> Snapshot:
        with self._changed:
            if not self._asked:
                self._asked = True
                need = sum(sent.size for sent in orders.product.values())
                free = shutil.disk_usage(self._folder.path).free
                if need > free:
                    raise InfrastructureError(
                        f"the product has {need / 1e6:,.0f} MB, and {self._folder.path} has room "
                        f"for {free / 1e6:,.0f} MB",
                        transient=False,
                    )
                self._tell({"kind": "product"})
            while self._here != set(FILES) and wanted():
                self._changed.wait(LOOK)
            if self._snapshot is None and self._here == set(FILES):
                product = Product(path=self._folder.path / "product")
                self._snapshot = stored(product, self._folder.snapshot)
                self._snapshot.warnings = ()  # the client has told them
            if self._snapshot is None:
                raise InfrastructureError("its client is gone", transient=False)
            return self._snapshot

    # --- batches ---------------------------------------------------------------------------

    def execute(self, orders: Orders, token: str, tell: Tell, wanted: Callable[[], bool]) -> str:
        """Run the cells of a batch, as long as it is `wanted`; what containers are closed then, is
        so behind its back. Returns why the engine was given up meanwhile, '' where it was not.
        Raises InfrastructureError, InputError."""
        snapshot = self._product(orders, wanted)
        plan = self._localised(orders)
        telling = _Telling(self, plan, tell)
        opening = opening_of(
            plan, self._engines, self._settings, self._folder, lambda: snapshot, telling
        )
        opening = replace(opening, secrets=orders.secrets, stages=self._stages, shares_stages=True)
        job = Job(
            plan=plan, opening=opening, folder=self._folder, emit=telling, options=orders.options
        )
        cpus = max(cell.cpus for cell in plan.cells)
        memory = int(max(cell.memory for cell in plan.cells) / MEMORY_SHARE) + 1
        executor = Executor(job, Slots(1, cpus, memory))
        telling.executor = executor
        with self._changed:
            if self._ended:
                return ""
            self._active[token] = executor
        running = Thread(target=self._run, args=(executor, telling, token, tell), daemon=True)
        running.start()
        while not telling.over.wait(LOOK):
            telling.flush()
            if not wanted():
                self._cut_short = True
                executor.interrupt("cancelled")
        if any(cell.engine in GUESTS for cell in plan.cells) or not wanted():
            running.join()  # their memory is not free before; the last one closes the run
        if telling.fault is not None:
            raise telling.fault
        return executor.gone

    def _run(self, executor: Executor, telling: _Telling, token: str, tell: Tell) -> None:
        try:
            executor.run()
        except DistromatrixError as error:
            telling.fault = error
        finally:
            telling.flush()
            telling.over.set()
            tell({"kind": "facts", "facts": json.dumps(machines_of(executor.facts))})
            with self._changed:
                self._active.pop(token, None)
                self.used = time.monotonic()
                self._changed.notify_all()

    def _localised(self, orders: Orders) -> Plan:
        """The plan with the files that it names lying here."""
        beside = {}
        for number, (name, content) in enumerate(orders.beside.items()):
            path = self._folder.path / f"beside-{number}" / Path(name).name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            beside[name] = path
        plan = orders.plan

        def here(path: Path | None) -> Path | None:
            return beside.get(str(path), path)

        distros = tuple(
            replace(d, guest=replace(d.guest, vagrantfile=here(d.guest.vagrantfile)))
            if d.guest
            else d
            for d in plan.distros
        )
        bundle = str(beside.get(plan.ca_bundle, plan.ca_bundle))
        return replace(
            plan, root=self._root, matrix=self._root / "matrix", distros=distros, ca_bundle=bundle
        )

    def stop(self, why: str) -> None:
        """Begin no more cells."""
        with self._changed:
            for executor in self._active.values():
                executor.stop(why)

    def idle(self) -> bool:
        """Whether no batch is under way."""
        with self._changed:
            return not self._active

    # --- what cells made -------------------------------------------------------------------

    def pack(self, run: str) -> dict[str, Any]:
        """What one run of a cell left, to be sent: `tar` itself, if that is small, else `file`, by
        which it is asked for (`read`), and its `size`. Its folder is removed."""
        folder = self._folder.path / "cells" / run
        if not folder.exists():
            return {"tar": b""}
        number = next(self._numbers)
        path = self._made(number)
        with path.open("wb") as out, gzip.open(out, "wb", compresslevel=1) as packed:
            with tarfile.open(fileobj=packed, mode="w|") as tar:
                tar.add(folder, f"cells/{run}", filter=_plain)
            packed.close()
            size = out.tell()
        shutil.rmtree(folder, ignore_errors=True)
        if size > INLINE:
            return {"file": number, "size": size}
        data = path.read_bytes()
        path.unlink()
        return {"tar": data}

    def read(self, number: int, offset: int, size: int) -> bytes:
        """A piece of it; nothing is left of it after its end. Raises OSError."""
        path = self._made(number)
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
            if file.tell() == os.fstat(file.fileno()).st_size:
                path.unlink()
        return data

    def _made(self, number: int) -> Path:
        return self._folder.path / f"made-{number}.tar.gz"

    def close(self, why: str = "interrupted") -> bool:
        """End all that is under way, and remove all that is of this run. May be called twice.
        Whether all had ended before: else something may be left (`wait`)."""
        with self._changed:
            if self._ended:
                return True
            self._ended = True
            over = not self._active and not self._cut_short
            for executor in self._active.values():
                executor.interrupt(why)
            self._changed.wait_for(lambda: not self._active, timeout=_ENDING)
        self._stages.close()
        remove_folder(self._folder.path)
        with suppress(Exception):
            self._stack.close()
        return over

    def wait(self) -> None:
        """Until nothing of it is under way, or is stuck."""
        with self._changed:
            self._changed.wait_for(lambda: not self._active, timeout=_STUCK)


class _Telling:
    """Sends events, many at once; results with what their cells made."""

    def __init__(self, run: HostedRun, plan: Plan, tell: Tell) -> None:
        self.executor: Executor | None = None
        self._run = run
        self.fault: DistromatrixError | None = None
        self.over = ThreadEvent()  # all results are sent
        self._left = {cell.id for cell in plan.cells}
        self._repeated = plan.repeat > 1
        self._tell = tell
        self._lines: list[str] = []
        self._output: dict[str, str] = {}
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted | RunFinished):
            return
        if isinstance(event, CellFinished | RepeatFinished):
            repeat = event.repeat if isinstance(event, RepeatFinished) else 0
            if self.executor and self.executor.gone:
                return  # it runs elsewhere
            if repeat or not self._repeated:  # the client joins repetitions itself
                made = self._run.pack(run_id(event.result.id, repeat))
                self._send({"result": _line(event), **made})
            if not repeat:
                self._left.discard(event.result.id)
                if not self._left:
                    self.over.set()
            return
        with self._lock:
            if isinstance(event, CellOutput):
                self._output[event.cell] = _line(event)
            else:
                self._lines.append(_line(event))

    def flush(self) -> None:
        """Send what has come together."""
        self._send({})

    def _send(self, more: Mapping[str, Any]) -> None:
        with self._lock:
            lines = [*self._lines, *self._output.values()]
            self._lines.clear()
            self._output.clear()
            if lines or more:
                self._tell({"kind": "events", "lines": lines, **more})


def _line(event: Event) -> str:
    return json.dumps(asdict(event), separators=(",", ":"))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return member if member.isdir() or member.isreg() else None
