"""Opening a cell's prepared machine, and what the commands of its suite are given there: the
same for runs, for the machines of tests, and for `shell`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from distromatrix.engines import Engines
from distromatrix.engines.cache_store import Cache
from distromatrix.engines.caches import Caches
from distromatrix.engines.contract import (
    LABEL_CELL,
    Command,
    Engine,
    Machine,
    MachineSpec,
    OnOutput,
    OnStep,
    Stage,
    quiet,
)
from distromatrix.execute.cell.guest_caches import GuestCaches
from distromatrix.execute.cell.naming import host_name, machine_name
from distromatrix.execute.product.snapshot import Snapshot
from distromatrix.images import Handed, Images, Prepared
from distromatrix.model import SEEDS, Cell, Distro, MachineLimits, fields_of
from distromatrix.plan.needs import GUESTS
from distromatrix.plan.scripts import under


class Stages:
    """The product on engines, for each put there by the first who asks. Thread-safe."""

    def __init__(self) -> None:
        self._made: dict[str, Stage] = {}  # by the engine's name
        self._locks: dict[str, Lock] = defaultdict(Lock)

    def of(self, engine: str, make: Callable[[], Stage]) -> Stage:
        """That of an engine. Raises what `make` does, which the next who asks calls again."""
        with self._locks[engine]:
            if engine not in self._made:
                self._made[engine] = make()
            return self._made[engine]

    def close(self) -> None:
        """They are not needed any more. Never raises."""
        for stage in tuple(self._made.values()):
            stage.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What all machines are opened with. `secrets`: pass_env; `run` and `labels` stand on all
    that is made on the engines; `snapshot` takes the product's, when it is first needed;
    `caches`: the project's; `stages`: where other jobs have them, too, they outlive this one."""

    engines: Engines
    images: Images
    handed: Handed
    secrets: Mapping[str, str]
    run: str
    labels: Mapping[str, str]
    snapshot: Callable[[], Snapshot]
    caches: Caches | None = None
    stages: Stages = field(default_factory=Stages)
    shares_stages: bool = False

    @property
    def hidden(self) -> tuple[str, ...]:
        """The secrets that may be in what is printed."""
        return (*self.secrets.values(), *self.handed.secrets)

    def engine(self, cell: Cell) -> Engine:
        """That of a cell."""
        return self.engines.of(cell.engine)

    def prepare(self, distro: Distro, cell: Cell) -> Prepared:
        """What a cell's machine begins from. Raises ImageError, InfrastructureError."""

        def matching(globs: tuple[str, ...]) -> tuple[tuple[str, bytes, int], ...]:
            return self.snapshot().matching(globs)

        prepared = self.images.prepared(distro, cell, matching, self.handed)
        return self.images.guest(distro, cell, prepared) if cell.engine in GUESTS else prepared

    def stage(self, engine: Engine, prepared: Prepared) -> Stage:
        """The product, put on an engine. Raises InfrastructureError."""
        labels, image = self.labels, prepared.image.id
        return self.stages.of(
            engine.name, lambda: engine.stage(self.snapshot(), image=image, labels=labels)
        )

    def unstage(self) -> None:
        """The job needs the product no more. Never raises."""
        if not self.shares_stages:
            self.stages.close()

    def forget(self) -> None:
        """The run is complete: nobody goes on with it."""
        if not self.shares_stages:
            self.snapshot().forget()

    def open(
        self,
        cell: Cell,
        prepared: Prepared,
        stage: Stage | None,
        *which: object,
        on_step: OnStep = quiet,
        carried: bool = False,
    ) -> Machine:
        """Open a machine of a cell; `which` of its machines in this run it is. `on_step`: as in
        MachineSpec; `carried`: what changes in it goes into a guest, that in its caches, too: they
        are copies, as a guest's. Raises CannotStartError, InfrastructureError."""
        limits = fields_of(MachineLimits, cell) | {"user": prepared.user}
        caches = self._caches(cell, prepared)
        copied = carried or cell.engine in GUESTS
        spec = MachineSpec(
            **limits,
            name=machine_name(self.run, self.labels, cell.id, *which),
            image=prepared.image.id,
            guest=prepared.guest,
            ready=prepared.ready,
            labels={**self.labels, LABEL_CELL: cell.id},
            hostname=host_name(cell.distro),
            on_step=on_step,
            caches=() if copied else caches,
        )
        machine = self.engine(cell).open(spec, stage)
        if caches and copied:
            try:
                self.guest_caches(cell, prepared).bring_in(machine, prepared.user)
            except BaseException:
                machine.close()
                raise
        return machine

    @property
    def copies_caches(self) -> bool:
        """Whether containers have copies of caches, too."""
        return self.caches is not None and self.caches.private

    def guest_caches(self, cell: Cell, prepared: Prepared) -> GuestCaches:
        """What a cell's guest has of them."""
        store = self.engines.containers.caches
        return GuestCaches(store, self._caches(cell, prepared), self.labels)

    def _caches(self, cell: Cell, prepared: Prepared) -> tuple[Cache, ...]:
        if self.caches is None:
            return ()
        paths = {name: prepared.caches[name] for name in cell.caches if name in prepared.caches}
        return self.caches.of(cell.distro, prepared.image.arch, prepared.user, paths)

    def environment(
        self, cell: Cell, machine: Machine, repeat: int = 0, seed: int | None = None
    ) -> dict[str, str]:
        """See `environment`: of an open machine."""
        name, handed = self.engine(cell).name, self.handed.env
        return environment(cell, machine.out, name, handed, self.secrets, repeat, seed)


def environment(
    cell: Cell,
    out: str,
    engine: str,
    handed: Mapping[str, str],
    secrets: Mapping[str, str],
    repeat: int = 0,
    seed: int | None = None,
) -> dict[str, str]:
    """The variables that the product's commands see: what the host hands over, then the
    cell's own, then `pass_env`, then ours. `out` is its machine's. Each repetition has a seed
    of its own: one more than the one before."""
    number = max(1, repeat)
    return {
        **handed,
        **cell.env,
        **secrets,
        "DISTROMATRIX_CELL": cell.id,
        "DISTROMATRIX_DISTRO": cell.distro,
        "DISTROMATRIX_ENGINE": engine,
        "DISTROMATRIX_JUNIT": f"{out}/junit.xml",
        "DISTROMATRIX_JUNIT_DIR": f"{out}/junit",
        "DISTROMATRIX_ARTIFACTS": f"{out}/artifacts",
        "DISTROMATRIX_REPEAT": str(number),
        **({} if seed is None else {"DISTROMATRIX_SEED": str((seed + number - 1) % SEEDS)}),
    }


def suite_command(
    cell: Cell, script: str, machine: Machine, env: Mapping[str, str], *, output: OnOutput
) -> Command:
    """What runs a script of a suite in a cell's machine, in the product, within the suite's
    timeout as that machine counts it."""
    return Command(
        under(cell.shell, script),
        env=env,
        cwd=machine.product,
        timeout=cell.timeout * machine.scale,
        output=output,
    )
