"""What a checkout's own files may do to the host, written down once.

`KINDS` has every key of a matrix or a distro's file by which they reach beyond their machines, and
what that does in one sentence. A new key is either put here or into the list of those that do no
harm, with the reason (`tests/unit/trust/test_trust_keys.py` holds this). Not here is what

- happens inside a machine: scripts, packages, variables that are written out, users, images of any
  kind, a guest's kernel (an image may be its machine's root, and no more);
- no more than chooses among cells, or says what their results mean;
- is refused for good, whoever says yes: hooks and their like in a bootstrap's options
  (`load/shapes/bootstrap_options.py`), names with control characters, devices of disks that the
  host uses (`devices.py`);
- is the user's own to say: settings (mirrors, registry, engine, archives) come from no checkout;
- comes with distromatrix: boxes and images of the built-in catalogue, by their values.

A value counts as the run would use it: a plan that was stored is looked at like any other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from distromatrix.collect.text import one_line
from distromatrix.errors import Fault, InputError
from distromatrix.load.catalogue import builtin_folder, load_distros
from distromatrix.load.document import shown
from distromatrix.load.shapes.bootstrap_options import NO_SIGNATURES
from distromatrix.model import Bootstrap, Containerfile, Distro, Plan, Product, Pull
from distromatrix.trust.devices import in_use
from distromatrix.trust.keys import foreign_keys
from distromatrix.trust.logins import logged_in

_LARGEST = 16 * 1024**2  # bytes of a file whose content is part of a digest
_DIGITS = 40  # of a digest, hexadecimal: as many as git shows of its own
_PIDS = 4096  # processes, with which a small host has been seen to stand still
_DISK = 100 * 1024**3  # bytes


@dataclass(frozen=True, slots=True, order=True)
class Reach:
    """One value by which a checkout reaches the host. `where`: its file; `contents`: the digests
    of the files that it names."""

    kind: str
    value: str
    where: str = ""
    contents: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The same wherever the same value names files of the same content."""
        said = json.dumps([self.kind, self.value, *self.contents])
        return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.kind}: {self.value}: {KINDS[self.kind].does}", 4000)


class ReachingValue(NamedTuple):
    """A value that was found: as text, and the files that it names."""

    value: str
    files: tuple[Path, ...] = ()
    distro: Distro | None = None  # in whose file it stands; else in the matrix


class ReachKind(NamedTuple):
    """`keys`: where it is written, by shape and key; `does`: what it does to the host."""

    keys: tuple[str, ...]
    does: str
    find: Callable[[Plan], Iterable[ReachingValue]]


def _paths(plan: Plan, path: Path) -> Iterator[ReachingValue]:
    """A path that leads out of the project, links followed."""
    real = path.resolve()
    if not real.is_relative_to(plan.root.resolve()):
        yield ReachingValue(str(real), (real,) if real.is_file() else ())


def _ca_bundle(plan: Plan) -> Iterable[ReachingValue]:
    return () if plan.ca_bundle in ("host", "none") else _paths(plan, Path(plan.ca_bundle))


def _privileges(plan: Plan) -> Iterator[ReachingValue]:
    for one in dict.fromkeys(name for cell in plan.cells for name in cell.privileges):
        if one.startswith("/") and (why := in_use(one)):
            raise InputError(Fault(shown(plan.matrix), 0, 0, f"privileges: {one}: {why}"))
        yield ReachingValue(one)


def _most(plan: Plan, key: str, usual: int) -> Iterator[ReachingValue]:
    asked = max((int(getattr(cell, key)) for cell in plan.cells), default=0)
    if asked > usual:
        yield ReachingValue(str(asked))


def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _vagrantfiles(plan: Plan) -> Iterator[ReachingValue]:
    for distro in plan.distros:
        guest = distro.guest
        if guest is not None and guest.vagrantfile is not None:
            file = guest.vagrantfile.resolve()
            name = os.path.relpath(file, plan.root.resolve())
            value = " ".join(filter(None, (name, guest.machine, guest.provider)))
            yield ReachingValue(value, (file,), distro)


def _boxes(plan: Plan) -> Iterator[ReachingValue]:
    for distro in plan.distros:
        if distro.guest is not None and distro.guest.box:
            guest = distro.guest
            value = " ".join(filter(None, (guest.box, guest.version, guest.provider)))
            yield ReachingValue(value, (), distro)


def _bootstraps(plan: Plan) -> Iterator[tuple[Distro, Bootstrap]]:
    for distro in plan.distros:
        yield from ((distro, one) for one in distro.image if isinstance(one, Bootstrap))


def _keys(plan: Plan) -> Iterator[ReachingValue]:
    for distro, source in _bootstraps(plan):
        for option, files in foreign_keys(source, distro.file.parent):
            yield ReachingValue(option, files, distro)


def _unsigned(plan: Plan) -> Iterator[ReachingValue]:
    for distro, source in _bootstraps(plan):
        if NO_SIGNATURES in source.options:
            yield ReachingValue(NO_SIGNATURES, (), distro)


def _pulls(plan: Plan) -> Iterator[ReachingValue]:
    for distro in plan.distros:
        for one in distro.image:
            if isinstance(one, Pull) and logged_in(one.ref):
                yield ReachingValue(one.ref.partition("@")[0], (), distro)


def _containerfiles(plan: Plan) -> Iterator[ReachingValue]:
    for distro in plan.distros:
        for one in distro.image:
            if isinstance(one, Containerfile):
                said = json.dumps([one.files, one.args])
                digest = hashlib.sha256(said.encode()).hexdigest()[:_DIGITS]
                yield ReachingValue(f"{one.path} (contents and args: {digest})", (), distro)


KINDS = {
    "pass_env": ReachKind(
        ("MatrixShape.pass_env",),
        "hands that variable of yours to the product",
        lambda plan: map(ReachingValue, plan.pass_env),
    ),
    "index": ReachKind(
        ("MatrixShape.index",),
        "hands your package indexes and proxies to the product, with the passwords in them",
        lambda plan: [ReachingValue("host")] if plan.index == "host" else (),
    ),
    "ca_bundle": ReachKind(
        ("MatrixShape.ca_bundle",),
        "hands that file to the product, from outside the project",
        _ca_bundle,
    ),
    "product": ReachKind(
        ("MatrixShape.product", "ProductShape.path"),
        "hands all that lies in that folder, outside the project, to what is tested",
        lambda plan: _paths(plan, plan.product.path),
    ),
    "privileges": ReachKind(
        ("SuiteOptions.privileges",),
        "widens containers: `mount` and `init` are as good as root on this host where the engine "
        "is root's, and a device is the product's to read and write",
        _privileges,
    ),
    "pids": ReachKind(
        ("SuiteOptions.pids",),
        f"lets a cell have more than {_PIDS:,} processes, which this host has to bear",
        lambda plan: _most(plan, "pids", _PIDS),
    ),
    "disk": ReachKind(
        ("SuiteOptions.disk",),
        f"lets a cell write more than {_DISK >> 30} GiB to this host's disk",
        lambda plan: _most(plan, "disk", _DISK),
    ),
    "memory": ReachKind(
        ("SuiteOptions.memory",),
        "lets a cell have more memory than this host has",
        lambda plan: _most(plan, "memory", _host_memory()),
    ),
    "vagrantfile": ReachKind(
        ("GuestShape.vagrantfile", "GuestShape.machine", "GuestShape.provider"),
        "runs that file on this host, and whatever it loads: it is a program in Ruby",
        _vagrantfiles,
    ),
    "box": ReachKind(
        ("GuestShape.box", "GuestShape.version", "GuestShape.provider"),
        "runs the Vagrantfile that is in that box on this host: it is a program in Ruby",
        _boxes,
    ),
    "keys": ReachKind(
        ("BootstrapOptions.options",),
        "puts that file into an image, and has its owner say which packages run scripts as root "
        "while the image is built on this host",
        _keys,
    ),
    "signatures": ReachKind(
        ("BootstrapOptions.options",),
        "runs scripts of packages that nobody signed as root while an image is built on this host",
        _unsigned,
    ),
    "containerfile": ReachKind(
        ("ContainerfileShape.containerfile", "ContainerfileShape.args"),
        "has your engine build that: its steps have a network and what Docker gives to any "
        "container, `FROM` pulls by your logins, and `ADD` of a URL is fetched by this host",
        _containerfiles,
    ),
    "pull": ReachKind(
        ("PullShape.pull",),
        "pulls that image by your login, and shows the product what is in it",
        _pulls,
    ),
}


def reach_of(plan: Plan, *, stored: bool = False) -> tuple[Reach, ...]:
    """All by which a plan reaches the host, each once, in the order of KINDS. `stored`: it was read
    back, and what it says of its distros' files proves nothing. Raises InputError for what is
    refused for good."""
    if is_ours(plan.root):
        return ()
    if not stored:  # what was read from the catalogue is its own
        own = builtin_folder()
        distros = tuple(one for one in plan.distros if one.file.parent != own)
        plan = replace(plan, distros=distros)
    found: dict[tuple[str, str, tuple[str, ...]], Reach] = {}
    for name, kind in KINDS.items():
        for one in kind.find(plan):
            if name in _IN_CATALOGUE and one.value in _catalogue(name):
                continue
            contents = tuple(map(_digest_of, one.files))
            where = shown(one.distro.file if one.distro else plan.matrix)
            found.setdefault((name, one.value, contents), Reach(name, one.value, where, contents))
    return tuple(found.values())


_IN_CATALOGUE = ("box", "pull")  # kinds whose values say all, whoever writes them


def _catalogue(kind: str) -> set[str]:
    """The values that the built-in catalogue has of a kind."""
    nothing = Product(path=Path())
    plan = Plan(matrix=Path(), root=Path(), product=nothing, cells=(), distros=load_distros(None))
    return {one.value for one in KINDS[kind].find(plan)}


def is_ours(root: Path) -> bool:
    """Whether a project lies in the very checkout that this program's code is run from: that is on
    the host already. Where it is installed, there is no such checkout."""
    catalogue = builtin_folder()
    package = Path(__file__).resolve().parent.parent
    if catalogue.is_relative_to(package):
        return False
    return root.resolve().is_relative_to(catalogue.parent.resolve())


def _digest_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except OSError:
        return "absent"
    if len(content) > _LARGEST:
        raise InputError(Fault(shown(file), 0, 0, f"is larger than {_LARGEST >> 20} MiB"))
    return hashlib.sha256(content).hexdigest()
