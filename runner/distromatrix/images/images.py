"""What the rest of the program asks for images: a distro's base, a cell's prepared one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Event as Flag
from threading import Lock
from uuid import uuid4

from distromatrix.engines.base import (
    LABEL_DISTRO,
    LABEL_KEY,
    LABEL_KIND,
    LABEL_SOURCE,
    Engine,
    Image,
    Machine,
    MachineSpec,
)
from distromatrix.errors import ImageError, InfrastructureError, PullError
from distromatrix.events import Event, ImageProgress, Warned
from distromatrix.images.bootstrap import OutOfReachError
from distromatrix.images.hostnet import Handed
from distromatrix.images.locking import locked
from distromatrix.images.prepared import File, Recipe, apply, numeric_user, recipe
from distromatrix.images.sources import BASE_REPOSITORY, Getter, Settings, base_tag
from distromatrix.model import Archive, Cell, Distro, ImageSource, ImageUsed

PREPARED_REPOSITORY = "distromatrix/prepared"
LABEL_USER = "distromatrix.user"  # UID:GID of the user that was made
LABEL_BASE = "distromatrix.base"  # id of the base image below
_BUILD_MEMORY = 2 * 1024**3  # at least: package managers are no small programs
_SUPERSEDED_AFTER = 86400.0  # a run on the former base has ended by then

ProductFiles = Callable[[tuple[str, ...]], tuple[File, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A distro's base image, and where it came from. `refresh`: seconds after which what is
    built on it is out of date, too."""

    image: Image
    used: ImageUsed
    refresh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The image that a cell runs on. `user` is `root` or `UID:GID`."""

    image: Image
    used: ImageUsed
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """An image of ours in the engine's store. `kind` is base | prepared; `source` that of
    the base image; `created` seconds since the epoch; `size` bytes."""

    kind: str
    distro: str
    tag: str
    id: str
    source: str
    created: float
    size: int
    key: str
    base: str = ""  # id of the base image below a prepared one


class Images:
    """Has images ready. All methods are safe to call from several threads; two processes
    that want the same image build it once, as long as they share `cache`. All raise
    ImageError (or EngineUnavailableError). `labels` go on the machines that builds open."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        cache: Path,
        emit: Callable[[Event], None],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._cache = cache
        self._emit = emit
        self._labels = dict(labels or {})
        self._cancelled = Flag()
        self._getter = Getter(
            store=engine.images,
            settings=settings,
            cache=cache,
            cancelled=self._cancelled,
            unreachable={},
        )
        self._lock = Lock()
        self._bases: dict[str, Base] = {}
        self._machines: set[Machine] = set()

    # --- base images -----------------------------------------------------------------------

    def base(self, distro: Distro, force: bool = False) -> Base:
        """The base image of a distro: a fresh one that is here, else from the first source
        in reach. One run sees one base image of a distro. `force`: anew in any case."""
        known = self._bases.get(distro.name)
        if known is not None and not force:
            return known
        with self._locked(f"base-{distro.name}", distro):
            known = self._bases.get(distro.name)
            if known is None or force:
                known = self._new_base(distro, force)
                self._bases[distro.name] = known
        return known

    def _new_base(self, distro: Distro, force: bool) -> Base:
        arch = self._engine.facts().arch
        if arch not in distro.arch:
            raise ImageError(f"{distro.name} is for {', '.join(distro.arch)}; this host is {arch}")
        here = {s: self._find(distro, s) for s in distro.image}
        for source, image in here.items():
            if image is not None and not force and _fresh(source, image):
                return _checked(distro, source, image, arch)
        failures = []
        for source, old in here.items():
            try:
                image = self._get(distro, source, old)
            except OutOfReachError as error:
                if old is None or force:
                    failures.append(str(error))
                    continue
                image = self._stale(distro, old, "base", str(error))
            except PullError as error:
                if error.kind != "rate-limit" or old is None or force:
                    raise _for(distro, error) from error
                image = self._stale(distro, old, "base", str(error))
            except ImageError as error:
                raise _for(distro, error) from error
            return _checked(distro, source, image, arch)
        raise ImageError(
            f"no image for {distro.name}: none of its sources is in reach\n"
            + "\n".join(f"  {f}" for f in failures),
            transient=True,
        )

    def _find(self, distro: Distro, source: ImageSource) -> Image | None:
        return self._engine.images.find(base_tag(distro, source, self._settings))

    def _get(self, distro: Distro, source: ImageSource, old: Image | None) -> Image:
        began = time.monotonic()
        image = self._getter.get(distro, source, lambda text: self._say(distro.name, text))
        self._say(distro.name, f"ready in {time.monotonic() - began:.0f} s (base image)")
        self._forget(old, image)
        return image

    def _forget(self, old: Image | None, new: Image) -> None:
        """Remove an image that has lost its tag to a new one, if we made it."""
        if old is not None and old.id != new.id and LABEL_KIND in old.labels:
            with suppress(InfrastructureError):  # something still stands on it
                self._engine.images.remove(old.id)

    def _stale(self, distro: Distro, old: Image, kind: str, why: str) -> Image:
        days = (time.time() - old.created) / 86400
        text = f"{distro.name}: using its {kind} image of {days:.0f} days ago, as {why}"
        self._emit(Warned(text=text))
        return old

    # --- prepared images -------------------------------------------------------------------

    def prepared(
        self,
        distro: Distro,
        cell: Cell,
        files: ProductFiles,
        handed: Handed,
        force: bool = False,
    ) -> Prepared:
        """The image with a cell's packages, `prepare`, user and what the host hands over;
        the base image itself where nothing of that is asked for. `files` gives the product's
        files by globs. Cells with equal `layer_inputs` share it."""
        base = self.base(distro)
        declared = cell.prepare.files if cell.prepare else ()
        found = files(declared) if declared else ()
        if declared and not found:
            globs = ", ".join(declared)
            raise ImageError(
                f"{cell.id}: no file of the product matches prepare's files: {globs}",
                phase="prepare",
            )
        wanted = recipe(distro, cell, found, handed)
        if wanted.empty:
            return Prepared(image=base.image, used=base.used, user=numeric_user(cell.user))
        tag = f"{PREPARED_REPOSITORY}:{wanted.key(base.image.id)}"
        image = self._ready(tag, base, force)
        if image is None:
            with self._locked(tag.rpartition(":")[2], distro):
                image = self._ready(tag, base, force) or self._renewed(
                    distro, cell, wanted, base, tag
                )
        user = image.labels.get(LABEL_USER) or numeric_user(cell.user)
        return Prepared(image=image, used=base.used, user=user)

    def _ready(self, tag: str, base: Base, force: bool) -> Image | None:
        """The prepared image, if it is there and not out of date."""
        image = None if force else self._engine.images.find(tag)
        return image if image and time.time() - image.created < base.refresh else None

    def _renewed(self, distro: Distro, cell: Cell, wanted: Recipe, base: Base, tag: str) -> Image:
        """The prepared image built anew, or an old one where its mirror is out of reach."""
        old = self._engine.images.find(tag)
        try:
            image = self._build(distro, cell, wanted, base, tag)
        except ImageError as error:
            if old is None or not error.transient:
                raise
            return self._stale(distro, old, "prepared", str(error))
        self._forget(old, image)
        return image

    def _build(self, distro: Distro, cell: Cell, wanted: Recipe, base: Base, tag: str) -> Image:
        began = time.monotonic()
        key = tag.rpartition(":")[2]
        spec = MachineSpec(
            name=f"distromatrix-prepare-{key[:12]}-{uuid4().hex[:8]}",
            image=base.image.id,
            labels=self._labels,
            cpus=cell.cpus,
            memory=max(cell.memory, _BUILD_MEMORY),
        )
        with self._machine(spec) as machine:
            user = apply(wanted, machine, lambda text: self._say(distro.name, text))
            labels = {
                LABEL_KIND: "prepared",
                LABEL_DISTRO: distro.name,
                LABEL_SOURCE: base.used.source,
                LABEL_KEY: key,
                LABEL_BASE: base.image.id,
                LABEL_USER: user,
            }
            image = self._engine.images.commit(machine, tag, labels)
        self._say(distro.name, f"ready in {time.monotonic() - began:.0f} s (prepared layer)")
        return image

    @contextmanager
    def _machine(self, spec: MachineSpec) -> Iterator[Machine]:
        machine = self._engine.open(spec)
        try:
            with self._lock:
                self._machines.add(machine)
            if self._cancelled.is_set():
                raise ImageError("cancelled")
            yield machine
        finally:
            with self._lock:
                self._machines.discard(machine)
            machine.close()

    # --- housekeeping ----------------------------------------------------------------------

    def cancel(self) -> None:
        """End all builds that are under way; they raise. Returns at once; never raises."""
        self._cancelled.set()
        with self._lock:
            machines = tuple(self._machines)
        for machine in machines:
            machine.kill()

    def list(self) -> tuple[ImageRow, ...]:
        """What is in the engine's store, base images first, by distro and age."""
        rows = (_row(i) for i in self._engine.images.list())
        return tuple(sorted((r for r in rows if r), key=lambda r: (r.kind, r.distro, -r.created)))

    def prune(self, older_than: float = 30 * 86400.0) -> tuple[ImageRow, ...]:
        """Remove images older than that many seconds, and prepared ones whose base image has
        been replaced; not those in use. Returns what was removed."""
        rows = self.list()
        bases = {r.id for r in rows if r.kind == "base"}
        gone = []
        for row in sorted(rows, key=lambda r: r.kind, reverse=True):  # prepared ones first
            age = time.time() - row.created
            superseded = row.base not in ("", *bases) and age > _SUPERSEDED_AFTER
            if age >= older_than or superseded:
                with suppress(InfrastructureError):
                    self._engine.images.remove(row.tag)
                    gone.append(row)
        return tuple(gone)

    @contextmanager
    def _locked(self, name: str, distro: Distro) -> Iterator[None]:
        def waiting() -> None:
            self._say(distro.name, "waiting for another one that builds the same image")

        with locked(self._cache / "locks" / f"{name}.lock", self._cancelled, waiting):
            if self._cancelled.is_set():
                raise ImageError(f"{distro.name}: cancelled")
            yield

    def _say(self, distro: str, text: str) -> None:
        self._emit(ImageProgress(distro=distro, text=text))


def layer_inputs(cell: Cell) -> tuple[object, ...]:
    """What of a cell decides its prepared image: cells with equal ones share it."""
    env = tuple(sorted(cell.env.items())) if cell.prepare else ()
    return (cell.distro, cell.packages, cell.prepare, numeric_user(cell.user) or cell.user, env)


def _fresh(source: ImageSource, image: Image) -> bool:
    return time.time() - image.created < _refresh(source)


def _refresh(source: ImageSource) -> float:
    """An archive is what its sha256 says, at any age."""
    return inf if isinstance(source, Archive) else source.refresh


def _checked(distro: Distro, source: ImageSource, image: Image, arch: str) -> Base:
    if image.arch and image.arch != arch:
        raise ImageError(
            f"{distro.name}: the image from {source.kind} is for {image.arch}; "
            f"this host is {arch}: name an image for {arch} in the distro's file"
        )
    used = ImageUsed(source=source.kind, id=image.id)
    return Base(image=image, used=used, refresh=_refresh(source))


def _for(distro: Distro, error: ImageError) -> ImageError:
    return ImageError(f"{distro.name}: {error}", log=error.log, transient=error.transient)


def _row(image: Image) -> ImageRow | None:
    repository, _, name = image.tag.rpartition(":")
    if repository == BASE_REPOSITORY:
        distro, source, key = name.rsplit("-", 2) if name.count("-") >= 2 else (name, "", "")
    elif repository == PREPARED_REPOSITORY:
        distro = image.labels.get(LABEL_DISTRO, "")
        source, key = image.labels.get(LABEL_SOURCE, ""), name
    else:
        return None
    return ImageRow(
        kind="base" if repository == BASE_REPOSITORY else "prepared",
        distro=distro,
        tag=image.tag,
        id=image.id,
        source=source,
        created=image.created,
        size=image.size,
        key=key,
        base=image.labels.get(LABEL_BASE, "") if repository == PREPARED_REPOSITORY else "",
    )
