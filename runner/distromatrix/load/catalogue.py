"""The distros there are: the built-in catalogue, and the project's own over it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import distromatrix
from distromatrix.errors import Fault, InputError
from distromatrix.load.containerfile import ContextError, read_containerfile
from distromatrix.load.decode import decode
from distromatrix.load.document import Document
from distromatrix.load.read import LEADS_OUT, leads_out, read_document
from distromatrix.load.shapes.distro import (
    ArchiveShape,
    ContainerfileShape,
    DistroShape,
    GuestShape,
    PullShape,
    SourceShape,
)
from distromatrix.load.shapes.fields import NAME
from distromatrix.model import Archive, Bootstrap, Distro, Guest, ImageSource, Pull, Repository
from distromatrix.plan.select import matches_any
from distromatrix.wording import did_you_mean, quoted

# Not taken over by `like:`: an end of life is another release's, and `verified` speaks of one
# very file (so a project's own version of a built-in distro keeps only the former).
_OWN = frozenset({"like", "eol", "verified"})
_REQUIRED = ("title", "family", "package_manager", "libc", "image")


def builtin_folder() -> Path:
    """Where the built-in catalogue is: inside an installed package, or at the top of a source
    checkout, so that there a new file counts without reinstalling."""
    package = Path(distromatrix.__file__).resolve().parent
    installed = package / "distros"
    return installed if installed.is_dir() else package.parent.parent / "distros"


def load_distros(root: Path | None) -> tuple[Distro, ...]:
    """All distros, in the natural order of their names; those of ROOT/distros take the place
    of built-in ones of the same name. Raises InputError."""
    catalogue = Catalogue.read(root)
    if catalogue.faults:
        raise InputError(*sorted(catalogue.faults))
    return catalogue.distros


@dataclass(frozen=True, eq=False)
class _DistroFile:
    """One distro file, read when it is first looked at. `layer` 0 is the built-in catalogue, 1
    the project's, whose `root` it must not lead out of."""

    name: str
    layer: int
    path: Path
    root: Path | None

    @cached_property
    def document(self) -> Document:
        return read_document(self.path, self.root)

    @cached_property
    def shape(self) -> DistroShape | None:
        return decode(DistroShape, self.document)

    @property
    def faults(self) -> list[Fault]:
        """None of one that nobody looked at."""
        return self.document.faults if "document" in vars(self) else []

    @property
    def folder(self) -> Path:
        return self.path.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What was read: `names` has those of faulty files too, lest one mistake be told twice."""

    distros: tuple[Distro, ...]
    names: tuple[str, ...]
    faults: tuple[Fault, ...]

    @classmethod
    def read(cls, root: Path | None, globs: Sequence[str] = ("*",)) -> Catalogue:
        """Read those of ROOT/distros, and the built-in ones that one of the globs matches: these
        are `distros`, and no others are built. Never raises."""
        folders = [builtin_folder()]
        if root is not None and (root / "distros").resolve() != folders[0].resolve():
            folders.append(root / "distros")
        faults: list[Fault] = []
        layers = [_read_layer(i, folder, faults) for i, folder in enumerate(folders)]
        entries = {name: entry for layer in layers for name, entry in layer.items()}
        names = tuple(sorted(entries, key=natural))
        looked_at = [n for n in names if entries[n].layer or matches_any(n, globs)]
        found = [_resolve(entries[name], layers) for name in looked_at]
        distros = tuple(distro for distro in found if distro is not None)
        faults += [f for layer in layers for one in layer.values() for f in one.faults]
        return cls(distros=distros, names=names, faults=tuple(dict.fromkeys(faults)))


def natural(name: str) -> list[str | int]:
    """A sort key that puts `debian-9` before `debian-11`."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


def _read_layer(layer: int, folder: Path, faults: list[Fault]) -> dict[str, _DistroFile]:
    entries: dict[str, _DistroFile] = {}
    root = folder.parent if layer else None  # the built-in ones are ours
    if root is not None and leads_out(folder, root):
        faults.append(Fault(Document(folder).file, 0, 0, *LEADS_OUT))
        return entries
    for path in sorted(folder.glob("*.y*ml")):
        document = Document(path)
        if path.suffix != ".yaml":
            faults.append(Fault(document.file, 0, 0, "is ignored", "name it `….yaml`"))
        elif not re.fullmatch(NAME, path.stem) or ".." in path.stem:
            message = "a distro's file is named with lower-case letters, digits, `.`, `_`, `-`"
            faults.append(Fault(document.file, 0, 0, message))
        else:
            entries[path.stem] = _DistroFile(path.stem, layer, path, root)
    return entries


def _resolve(entry: _DistroFile, layers: list[dict[str, _DistroFile]]) -> Distro | None:
    chain = _lineage(entry, layers)
    if chain is None or entry.shape is None:
        return None
    values: dict[str, Any] = {"packages": {}}
    for ancestor in reversed(chain):
        shape = ancestor.shape
        if shape is None:
            return None
        own = _OWN if ancestor.name != entry.name else _OWN - {"eol"}
        for key in shape.model_fields_set - own:
            value = getattr(shape, key)
            if key == "packages":
                value = values["packages"] | value
            elif key == "image":
                found = [_source(source, i, ancestor) for i, source in enumerate(value)]
                value = tuple(source for source in found if source is not None)
            elif key == "guest":
                value = _guest(value, ancestor.folder)
            elif key == "extra_repositories":
                value = {name: Repository(**one.model_dump()) for name, one in value.items()}
            values[key] = value
    missing = [key for key in _REQUIRED if key not in values]
    for key in missing:
        entry.document.fault(f"{quoted(key)} is missing", at=entry.document.locate(()))
    if missing:
        return None
    return Distro(
        name=entry.name,
        like=entry.shape.like,
        verified=entry.shape.verified,
        file=entry.document.path.absolute(),
        **values,
    )


def _guest(shape: GuestShape, folder: Path) -> Guest:
    made = shape.bootstrap
    return Guest(
        kernel=made.kernel if made else "",
        system=made.system if made else (),
        box=shape.box or "",
        version=shape.version or "",
        vagrantfile=folder / shape.vagrantfile if shape.vagrantfile else None,
        machine=shape.machine or "",
        provider=shape.provider,
        keep_ready=shape.provider == "libvirt" and shape.keep_ready is not False,
    )


def _lineage(entry: _DistroFile, layers: list[dict[str, _DistroFile]]) -> list[_DistroFile] | None:
    """The entry, what it is like, what that is like, …; None after a fault."""
    chain = [entry]
    while (shape := chain[-1].shape) is not None and shape.like is not None:
        current = chain[-1]
        parent = _find(shape.like, current, layers)
        at = current.document.locate(["like"])
        if parent is None:
            known = {name for layer in layers for name in layer} - {current.name}
            itself = shape.like == current.name
            message = f"no {'built-in ' * itself}distro {quoted(shape.like)}"
            current.document.fault(message, did_you_mean(shape.like, sorted(known)), at=at)
            return None
        if parent in chain:
            names = " → ".join(e.name for e in [*chain[chain.index(parent) :], parent])
            if parent is entry:  # each member of a circle tells it of itself
                current.document.fault(f"`like:` goes in a circle: {names}", at=at)
            return None
        chain.append(parent)
    return chain


def _find(
    name: str, current: _DistroFile, layers: list[dict[str, _DistroFile]]
) -> _DistroFile | None:
    """What `like: name` means in `current`: its own layer first, then those below. A project's
    `debian-12` may so be like the built-in `debian-12`, and no project changes what built-in
    distros are like."""
    for layer in reversed(layers[: current.layer + 1]):
        found = layer.get(name)
        if found is not None and (found is not current or current.layer == 0):
            return found
    return None


def _source(shape: SourceShape, number: int, entry: _DistroFile) -> ImageSource | None:
    """None after a fault."""
    folder = entry.folder
    if isinstance(shape, ContainerfileShape):
        try:
            return read_containerfile(shape, folder)
        except ContextError as error:
            at = entry.document.locate(["image", number, "containerfile"])
            entry.document.fault(str(error), at=at)
            return None
    if isinstance(shape, ArchiveShape):
        # Beside the file that declares it, which `like:` may leave behind.
        beside = folder / shape.archive.file
        name = str(beside.absolute()) if beside.is_file() else shape.archive.file
        return Archive(file=name, sha256=shape.archive.sha256)
    source: Pull | Bootstrap
    if isinstance(shape, PullShape):
        source = Pull(ref=shape.pull)
    else:
        how = shape.bootstrap
        source = Bootstrap(
            tool=how.tool, suite=how.suite or "", packages=how.packages, options=how.options
        )
    return source if shape.refresh is None else replace(source, refresh=shape.refresh)
