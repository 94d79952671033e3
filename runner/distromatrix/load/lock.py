"""`distros.lock` at a project's root: read, held against what the distros declare, written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from distromatrix.errors import Fault, InputError
from distromatrix.load.catalogue import Catalogue, natural
from distromatrix.load.decode import decode
from distromatrix.load.document import Document
from distromatrix.load.read import read_document
from distromatrix.load.shapes.lock import (
    LockedArchiveShape,
    LockedPullShape,
    LockShape,
    NotLockedShape,
)
from distromatrix.model import Archive, Containerfile, Distro, ImageSource, Plan, Pull
from distromatrix.wording import did_you_mean, quoted

LOCK = "distros.lock"
_HEAD = """\
# Written by `distromatrix images lock`; commit it. Runs use these very images until the next
# `distromatrix images lock`, which takes what there is then and prints what that changes.
format: 1
distros:
"""
_NOT_LOCKED = "    # Cannot be locked: each build takes what its mirrors have then.\n"


Entry = LockedPullShape | LockedArchiveShape | NotLockedShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock file that was read. `where` gives the place of an entry's key."""

    entries: Mapping[str, Entry]
    document: Document = field(compare=False, repr=False)

    def fault(self, name: str, key: str, message: str, hint: str = "") -> Fault:
        """A fault at a key of a distro's entry (at its name, without `key`)."""
        steps = ["distros", name, *([key] if key else [])]
        line, column, _ = self.document.locate(steps, key=not key)
        return Fault(self.document.file, line, column, message, hint)


def named(source: ImageSource) -> tuple[str, str]:
    """The key and the value by which a lock, or a message, names a source."""
    if isinstance(source, Pull):
        return "pull", source.ref
    if isinstance(source, Archive):
        return "archive", PurePath(source.file).name
    if isinstance(source, Containerfile):
        return "containerfile", source.path
    return "bootstrap", f"{source.tool} {source.suite}".rstrip()


# --- read -----------------------------------------------------------------------------------


def read_lock(root: Path) -> Lock | None:
    """The project's lock, or None where there is none. Raises InputError."""
    path = root / LOCK
    if not path.exists() and not path.is_symlink():
        return None
    document = read_document(path, root)
    shape = decode(LockShape, document)
    if shape is None:
        raise InputError(*sorted(document.faults))
    return Lock(entries=shape.distros, document=document)


# --- honour ---------------------------------------------------------------------------------


def apply_lock(plan: Plan, lock: Lock, arch: str, known: Iterable[str] = ()) -> Plan:
    """The plan with the images that the lock names, for a host of that architecture. A distro
    without an entry stays as it is, with a warning. `known` are names of distros that there
    are, beside the plan's (more are looked up where these are not enough). Raises InputError
    with every entry that does not match what its distro declares."""
    running = {c.distro for c in plan.cells if c.engine is not None}
    faults: list[Fault] = [*_strange(plan, lock, known)]
    distros = {distro.name: distro for distro in plan.distros}
    for name in running & set(lock.entries):
        entry = lock.entries[name]
        found = _locked(distros[name], entry, lock, arch)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            fixed = not isinstance(entry, NotLockedShape)
            distros[name] = replace(distros[name], image=(found,), locked=fixed)
    if faults:
        raise InputError(*sorted(faults))
    absent = [d.name for d in plan.distros if d.name in running and d.name not in lock.entries]
    warnings = plan.warnings
    if absent:
        line = f"{LOCK} has no entry for {', '.join(absent)}: run as declared"
        warnings = (*warnings, f"{line}; `distromatrix images lock` adds one")
    return replace(plan, distros=tuple(distros.values()), warnings=warnings)


def _strange(plan: Plan, lock: Lock, known: Iterable[str]) -> Iterator[Fault]:
    """Entries of no distro that there is."""
    unknown = set(lock.entries) - {distro.name for distro in plan.distros} - set(known)
    names = Catalogue.read(plan.root).names if unknown else ()
    for name in unknown - set(names):
        hint = did_you_mean(name, names) or "`distromatrix images lock` removes it"
        yield lock.fault(name, "", f"no distro {quoted(name)}", hint)


def _locked(distro: Distro, entry: Entry, lock: Lock, arch: str) -> ImageSource | Fault:
    """What stands in the place of the distro's sources, or what is wrong with the entry."""
    name = distro.name
    again = f"`distromatrix images lock {name}` locks it anew"
    key, what = next(iter(entry.model_dump().items()))
    source = next((one for one in distro.image if named(one) == (key, what)), None)
    if source is None:
        text = f"the file of {quoted(name)} does not declare {quoted(what)} any more"
        return lock.fault(name, key, text, again)
    if isinstance(entry, LockedPullShape) and isinstance(source, Pull):
        if entry.arch not in (None, arch):
            text = f"{quoted(name)} is locked for {entry.arch}; this host is {arch}"
            return lock.fault(name, "arch", text, again)
        return replace(source, ref=with_digest(entry.pull, entry.digest))
    match entry, source:
        case LockedArchiveShape(sha256=locked), Archive(sha256=declared) if locked != declared:
            text = f"the distro's file declares another sha256: {declared}"
            return lock.fault(name, "sha256", text, again)
    return source


def with_digest(ref: str, digest: str) -> str:
    """A reference by digest in the place of its tag."""
    folder, slash, last = ref.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@{digest}"


# --- write ----------------------------------------------------------------------------------


def as_text(entries: Mapping[str, Entry]) -> str:
    """The file that holds these entries, in the natural order of their names."""
    parts = [_HEAD]
    for name in sorted(entries, key=natural):
        entry = entries[name]
        parts.append(f"  {name}:\n")
        if isinstance(entry, NotLockedShape):
            parts.append(_NOT_LOCKED)
        lines = entry.model_dump(exclude_none=True)
        parts += [f"    {key}: {value}\n" for key, value in lines.items()]
    return "".join(parts) if entries else _HEAD.replace("distros:\n", "distros: {}\n")
