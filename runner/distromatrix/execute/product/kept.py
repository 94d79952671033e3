"""The product as an engine keeps it: what was staged of it stays there, and only what differs is
sent. See chains.py for what is known of that here."""

from __future__ import annotations

import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock

from distromatrix.collect.artifacts import TarStream
from distromatrix.engines.layers import LABEL_LAYER, LayerStore
from distromatrix.execute.product.chains import Chain, Layer, ProductFolder
from distromatrix.execute.product.entries import FOLDER, Entry
from distromatrix.execute.product.snapshot import Snapshot
from distromatrix.record.folder import RunFolder

MOST_LAYERS = 8  # over each other: overlayfs takes many more, but mount(2) one page of options
_PER_FILE = 4096  # bytes that a file costs beside what is in it


class KeptProduct:
    """See Keeper and Layers. `owner`: whose copy is made at once (UID:GID)."""

    def __init__(
        self, store: LayerStore, root: Path, run: RunFolder, labels: Mapping[str, str], owner: str
    ) -> None:
        self._store = store
        self._folder = ProductFolder.of(root)
        self._run = run
        self._labels = {**labels, LABEL_LAYER: str(self._folder.path)}
        self._engine = blake2b(store.engine.encode(), digest_size=8).hexdigest()
        self._first = owner or next(iter(self._folder.owners(self._engine)), "1000:1000")
        self._snapshot: Snapshot | None = None
        self._lock = Lock()
        self._made: dict[str, tuple[str, ...]] = {}
        self.index = self._folder.index

    @property
    def refused(self) -> bool:
        """Whether machines on this engine were found not to see layers through each other."""
        return self._refusal.exists()

    @property
    def _refusal(self) -> Path:
        return self._folder.path / f"refused.{self._engine}"

    def refuse(self) -> None:
        """See Layers."""
        with suppress(OSError):
            self._refusal.touch()

    def keep(self, snapshot: Snapshot) -> None:
        """See Keeper."""
        self._snapshot = snapshot
        self.of(self._first)

    def take_up(self, snapshot: Snapshot) -> None:
        """See Keeper."""
        self._snapshot = snapshot
        for key, names in self._folder.uses(self._run.id).items():
            engine, _, owner = key.partition("-")
            if engine == self._engine and self._store.has(names):
                self._made[owner.replace("-", ":")] = names

    def let_go(self) -> None:
        """See Keeper."""
        self._folder.let_go(self._run.id)

    @property
    def made(self) -> tuple[str, ...]:
        """See Layers."""
        return tuple(dict.fromkeys(name for names in self._made.values() for name in names))

    def of(self, owner: str) -> tuple[str, ...]:
        """See Layers."""
        with self._lock:
            if owner not in self._made:
                with self._folder.held():
                    self._made[owner] = self._have(owner)
            return self._made[owner]

    def fetch(self, name: str) -> Iterator[bytes]:
        """See Keeper."""
        for names in self._made.values():
            for layer in names:
                with suppress(FileNotFoundError):
                    yield from _content(self._store.read(layer, name))
                    return
        raise FileNotFoundError(name)

    def _have(self, owner: str) -> tuple[str, ...]:
        key = self._key(owner)
        before = self._folder.chain(key)
        if not self._store.has(before.names):
            before = Chain()
        chain = self._brought(before, owner)
        if chain is not before:
            self._folder.remember(key, chain)
        self._folder.touch(key)
        uses = {self._key(one): names for one, names in self._made.items()}
        self._folder.use(self._run.id, self._run.path, {**uses, key: chain.names})
        return chain.names

    def _key(self, owner: str) -> str:
        return f"{self._engine}-{owner.replace(':', '-')}"

    def _brought(self, chain: Chain, owner: str) -> Chain:
        """That chain, if it holds the snapshot; else one that does, with the same base where what
        differs is less than half of it. A layer that is less than twice what lies over it comes
        to be part of that, so that they stay few."""
        assert self._snapshot is not None  # noqa: S101 - nothing is asked for before
        layers, entries = list(chain.layers), self._snapshot.entries
        paths: frozenset[str] | None = None
        if layers:
            self._snapshot.read_all()
            paths = _differing(chain.seals, entries)
            if not paths:
                return chain
            while len(layers) > 1 and (
                layers[-1].cost < 2 * _cost(paths, entries) or len(layers) >= MOST_LAYERS
            ):
                paths = _with_twins(paths | layers.pop().paths, entries)
            if layers[0].cost < 2 * _cost(paths, entries):
                paths, layers = None, []
        name = self._add(owner, paths)
        cost = _cost(entries if paths is None else paths, entries)
        layers.append(Layer(name, cost, paths or frozenset()))
        return Chain(layers, {path: seal_of(entry) for path, entry in entries.items()})

    def _add(self, owner: str, paths: frozenset[str] | None) -> str:
        """Make a layer of those paths, or of all; its name."""
        assert self._snapshot is not None  # noqa: S101
        snapshot, entries = self._snapshot, self._snapshot.entries
        uid, _, gid = owner.partition(":")
        wanted, gone = None, list[str]()
        if paths is not None:
            gone = sorted(path for path in paths if _leaves_a_hole(path, entries))
            above = {one for path in (*gone, *paths) for one in _folders(path)}
            wanted = [e for path, e in entries.items() if path in paths or path in above]

        def pack(below: str) -> Iterator[bytes]:
            return snapshot.pack(wanted, (int(uid), int(gid)), below, gone)

        name = f"distromatrix-stage-{secrets.token_hex(6)}"
        self._store.add(name, owner, pack, self._labels)
        snapshot.drop_vanished()
        return name


def seal_of(entry: Entry) -> str:
    """What tells an entry from another of its name. A folder's time, which changes with whatever
    lies in it, is none of that."""
    if not entry.seal:
        time = 0 if entry.kind == FOLDER else entry.mtime
        said = (entry.kind, entry.mode, time, entry.size, entry.target, entry.twin, entry.content)
        text = repr(said).encode("utf-8", "surrogateescape")
        entry.seal = blake2b(text, digest_size=16).hexdigest()
    return entry.seal


def _differing(seals: Mapping[str, str], entries: Mapping[str, Entry]) -> frozenset[str]:
    changed = {path for path, entry in entries.items() if seals.get(path) != seal_of(entry)}
    return _with_twins(frozenset(changed | (seals.keys() - entries.keys())), entries)


def _with_twins(paths: frozenset[str], entries: Mapping[str, Entry]) -> frozenset[str]:
    """With all names of each file: a layer cannot link to what lies in another."""
    twins = {path: entry.twin for path, entry in entries.items() if entry.twin}
    files = {twins[path] for path in paths if path in twins}
    return paths | {path for path, file in twins.items() if file in files}


def _cost(paths: Mapping[str, Entry] | frozenset[str], entries: Mapping[str, Entry]) -> int:
    return sum(_PER_FILE + (entries[path].size if path in entries else 0) for path in paths)


def _leaves_a_hole(path: str, entries: Mapping[str, Entry]) -> bool:
    """Whether a whiteout must say that it is gone: it lay in a folder that is still there."""
    above = entries.get(path.rpartition("/")[0])
    return path not in entries and above is not None and above.kind == FOLDER


def _content(tar: Iterator[bytes]) -> Iterator[bytes]:
    """That of the one file in a tar stream."""
    stream = TarStream(tar)
    with tarfile.open(fileobj=stream, mode="r|") as members:
        member = next(stream.members(members), None)
        file = members.extractfile(member) if member is not None else None
        while file is not None and (chunk := file.read(1 << 20)):
            yield chunk


def _folders(path: str) -> Iterator[str]:
    """All above it, the product's own too."""
    while path:
        path = path.rpartition("/")[0]
        yield path
