"""What a plan takes to be carried out here: engines, images, the product as it is now, a job."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from distromatrix.errors import InfrastructureError
from distromatrix.files.user_folders import cache_folder
from distromatrix.model import Cell, Plan
from distromatrix.project.project import host_facts
from distromatrix.record.events import Event

if TYPE_CHECKING:
    from distromatrix.engines import Engines
    from distromatrix.engines.caches import Caches
    from distromatrix.engines.contract import Engine
    from distromatrix.execute.cell.opening import Opening
    from distromatrix.execute.job import Job, Options
    from distromatrix.execute.product.kept import KeptProduct
    from distromatrix.execute.product.snapshot import Snapshot
    from distromatrix.images import Handed, Images, ProductFiles
    from distromatrix.load.settings import Settings
    from distromatrix.plan.file import PlanFile
    from distromatrix.record.folder import RunFolder


def handed_secrets(names: tuple[str, ...]) -> dict[str, str]:
    """The `pass_env` variables that are set here."""
    return {name: os.environ[name] for name in names if os.environ.get(name)}


@contextmanager
def opened_engines(settings: Settings) -> Iterator[Engines]:
    """The engine of containers that the settings name, and those of guests, of which each is
    opened when it is first wanted; what dead runs left on it is then removed in the background.
    All are closed afterwards. Raises EngineUnavailableError as `opened_engine` does."""
    from distromatrix.engines import Engines, open_engine

    def open_guest(name: str, containers: Engine) -> Engine:
        from distromatrix.execute.sweep import sweep
        from distromatrix.execute.threads import in_background

        guests = open_engine(name, containers, settings.accel)
        in_background(lambda: sweep(guests))  # what it cannot remove now, the next one will
        return guests

    with opened_engine(settings) as containers:
        engines = Engines(containers, open_guest)
        try:
            yield engines
        finally:
            engines.close()


@contextmanager
def opened_engine(settings: Settings) -> Iterator[Engine]:
    """The engine that the settings name, closed afterwards.

    Raises EngineUnavailableError with `doctor`'s advice when it does not answer.
    """
    from distromatrix.engines import open_engine
    from distromatrix.errors import EngineUnavailableError

    try:
        # For tests: the fake engine keeps its state in the folder that this names.
        engine = open_engine("fake" if os.environ.get("DISTROMATRIX_FAKE") else settings.engine)
        engine.facts()
    except EngineUnavailableError as error:
        text = str(error)
        if "distromatrix doctor" not in text:
            text += "; `distromatrix doctor` says more"
        raise EngineUnavailableError(f"{text}, `doctor --fix` may mend it") from error
    try:
        yield engine
    finally:
        engine.close()


def open_images(
    engine: Engine,
    settings: Settings,
    labels: Mapping[str, str],
    emit: Callable[[Event], None],
    caches: Caches | None = None,
) -> Images:
    """The images of an engine, as the settings say today; what prepares them has `caches`."""
    from distromatrix.images import Images

    return Images(
        engine,
        replace(settings, today=host_facts().today),
        cache=cache_folder(),
        emit=emit,
        labels=labels,
        secrets=_logins(settings),
        caches=caches,
    )


def handed_here(plan: Plan, settings: Settings) -> Handed:
    """What this host hands over to the plan's cells. Raises InputError."""
    from distromatrix.images import handed_over

    handed = handed_over(plan.ca_bundle, plan.index, os.environ)
    return replace(handed, secrets=(*handed.secrets, *_logins(settings)))


def _logins(settings: Settings) -> tuple[str, ...]:
    from distromatrix.images import logins_here

    return logins_here((*settings.mirrors.values(), *settings.archive_mirrors.values()), os.environ)


def require_images(
    engine: Engine,
    settings: Settings,
    plan: Plan,
    *,
    snapshot: Snapshot | None = None,
    done: frozenset[str] = frozenset(),
) -> None:
    """Offline, see that every image is there before anything starts. `snapshot`: the product
    as it was, where that is stored already; `done`: cells that will not run again. Raises
    InfrastructureError with all that is missing."""
    if not settings.offline:
        return
    from distromatrix.images.offline import missing

    cells = tuple(c for c in plan.cells if c.engine is not None and c.id not in done)
    images = open_images(engine, settings, {}, lambda _: None)
    handed = handed_here(plan, settings)
    with ExitStack() as stack:
        files = snapshot.matching if snapshot else stack.enter_context(files_of(plan, cells))
        if text := missing(images, plan, cells, files, handed):
            raise InfrastructureError(text)


@contextmanager
def files_of(plan: Plan, cells: Iterable[Cell]) -> Iterator[ProductFiles]:
    """What gives the product's files by globs, for those cells' prepared layers; the product is
    looked at only where a layer needs files of it."""
    from distromatrix.execute.product.snapshot import look_at
    from distromatrix.record.folder import RunFolder, remove_folder

    if not any(cell.prepare and cell.prepare.files for cell in cells):
        yield lambda _: ()
        return
    with RunFolder.create(plan.root, kind="builds") as folder:
        try:
            yield look_at(plan.product, folder.snapshot).matching
        finally:
            remove_folder(folder.path)


def keeper_of(plan: Plan, engine: Engine, folder: RunFolder) -> KeptProduct | None:
    """Who keeps the product on the engine of containers between runs, if it can and any cell runs
    there."""
    from distromatrix.execute.product.kept import KeptProduct
    from distromatrix.execute.sweep import labels_of
    from distromatrix.images.layer.recipe import numeric_user
    from distromatrix.plan.needs import CONTAINERS

    users = [numeric_user(cell.user) for cell in plan.cells if cell.engine in CONTAINERS]
    store = engine.layers if users else None
    if store is None:
        return None
    # Whoever a name is, an image says: then it is guessed.
    first = "0:0" if "root" in users else next(filter(None, users), "")
    keeper = KeptProduct(store, plan.product.path, folder, labels_of(folder), first)
    return None if keeper.refused else keeper


def begin_run(
    plan: Plan,
    folder: RunFolder,
    engine: Engine,
    part: PlanFile | None = None,
    tell: Callable[[str], None] | None = None,
) -> Snapshot:
    """The product's snapshot, taken (on the engine of containers, if that keeps
    any) and stored with the plan, and with the whole that it is a
    `part` of: from here on the run can be resumed. Where that fails, the folder goes. What is
    staged is told where that takes time."""
    from distromatrix.execute.product.snapshot import take
    from distromatrix.plan.file import WHOLE, save_plan, store_plan
    from distromatrix.record.folder import remove_folder

    try:
        snapshot = take(plan.product, folder.snapshot, tell, keeper_of(plan, engine, folder))
        if part is not None:
            save_plan(replace(part, snapshot=snapshot.digest()), folder.path / WHOLE)
        store_plan(plan, folder.plan)
    except BaseException:
        remove_folder(folder.path)
        raise
    return snapshot


def opening_of(
    plan: Plan,
    engines: Engines,
    settings: Settings,
    folder: RunFolder,
    snapshot: Callable[[], Snapshot],
    emit: Callable[[Event], None],
) -> Opening:
    """What a plan's machines are opened with here and now. Raises InputError."""
    from distromatrix.engines.caches import Caches, is_strangers_run
    from distromatrix.execute.cell.opening import Opening
    from distromatrix.execute.sweep import labels_of

    labels = labels_of(folder)
    private = is_strangers_run(os.environ)
    caches = Caches(plan.root.resolve(), cache_notes(), private)
    return Opening(
        engines=engines,
        images=open_images(engines.containers, settings, labels, emit, caches),
        handed=handed_here(plan, settings),
        secrets=handed_secrets(plan.pass_env),
        run=folder.id,
        labels=labels,
        snapshot=snapshot,
        caches=caches,
    )


def cache_notes() -> Path:
    """Where is noted when caches were used, and how big they are."""
    return cache_folder() / "caches"


def bound_caches(engine: Engine, settings: Settings, plan: Plan) -> None:
    """At the end of a run: see that caches hold no more than they may."""
    from distromatrix.execute.caches import bound

    if any(cell.caches for cell in plan.cells):
        with suppress(InfrastructureError):  # the next run's end does it
            bound(engine.caches, cache_notes(), settings.cache_size)


def job_of(
    plan: Plan,
    engines: Engines,
    settings: Settings,
    folder: RunFolder,
    snapshot: Snapshot,
    emit: Callable[[Event], None],
    options: Options,
) -> Job:
    """A plan with all that it takes to carry it out here and now."""
    from distromatrix.execute.job import Job

    opening = opening_of(plan, engines, settings, folder, lambda: snapshot, emit)
    return Job(plan=plan, opening=opening, folder=folder, emit=emit, options=options)
