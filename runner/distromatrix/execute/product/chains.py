"""What this host knows of the layers that engines keep of products: which belong together, and who
stands on them. It is the user's own (a folder among what is cached), one folder a product.

`ENGINE-OWNER.json` names the layers that hold the product as it was last, the base first, and
`LAYER.json`, named after the topmost, what each path was then. `uses/RUN.json` names what a run
stands on, for as long as it lives or can go on. What nothing names is removed by the sweep; nothing
is named that is not whole. Who changes any of it, or relies on it, holds `lock`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from distromatrix.errors import InfrastructureError
from distromatrix.files.lock import InUseError, hold, hold_in
from distromatrix.files.user_folders import cache_folder, cache_path
from distromatrix.files.whole import changed_at, read_json, write_whole
from distromatrix.record.folder import is_alive

KEPT_FOR = 7 * 86400.0  # seconds for which what no run asks for stays
_BEGUN_WITHIN = 3600.0  # seconds after which a folder that names no product is no run's that begins
_PRODUCTS = "products"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: `cost` is what it takes to send it, in bytes; `paths` which it changes, of a base
    none."""

    name: str
    cost: int
    paths: frozenset[str] = frozenset()


@dataclass(slots=True)
class Chain:
    """Layers, the base first, and what each path is in them."""

    layers: list[Layer] = field(default_factory=list)
    seals: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the layers, the topmost first."""
        return tuple(layer.name for layer in reversed(self.layers))


class ProductFolder:
    """What is known of one product, by its folder."""

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path = path
        self._root = root

    @classmethod
    def of(cls, root: Path) -> ProductFolder:
        """That of the product in `root`, made if need be. Raises InfrastructureError."""
        name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
        folder = cls(cache_folder() / _PRODUCTS / name, root.resolve())
        try:
            folder._make()
        except OSError as error:
            raise _unusable(error, folder.path) from error
        return folder

    def _make(self) -> None:
        (self.path / "uses").mkdir(mode=0o700, parents=True, exist_ok=True)
        os.utime(self.path)  # it is used now
        if self._root is not None and not (self.path / "root.json").exists():
            write_whole(self.path / "root.json", json.dumps(str(self._root)))

    @property
    def index(self) -> Path:
        """What was in the product's files when they were last read."""
        return self.path / "index.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """The lock, as soon as nobody else has it. Raises InfrastructureError."""
        with ExitStack() as held:
            try:  # the sweep may have removed a folder that nobody held
                held.enter_context(hold_in(self._make, self.path / "lock"))
            except OSError as error:
                raise _unusable(error, self.path) from error
            yield

    @property
    def is_products(self) -> bool | None:
        """Whether its product is there; None where it is not known whose it is."""
        root = read_json(self.path / "root.json")
        return Path(root).exists() if isinstance(root, str) else None

    # --- chains ----------------------------------------------------------------------------

    def chain(self, key: str) -> Chain:
        """That of an engine and an owner; an empty one where there is none."""
        found = read_json(self.path / f"{key}.json")
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            if found["version"] != _VERSION:
                return Chain()
            layers = [Layer(n, int(cost), frozenset(paths)) for n, cost, paths in found["layers"]]
            seals = read_json(self.path / f"{layers[-1].name}.json")
            if layers and seals:
                return Chain(layers, dict(seals))
        return Chain()

    def remember(self, key: str, chain: Chain) -> None:
        """It is whole. Raises InfrastructureError."""
        rows = [(one.name, one.cost, sorted(one.paths)) for one in chain.layers]
        try:
            seals = self.path / f"{chain.layers[-1].name}.json"
            write_whole(seals, json.dumps(dict(chain.seals)), 0o600)
            text = json.dumps({"version": _VERSION, "layers": rows})
            write_whole(self.path / f"{key}.json", text, 0o600)
        except OSError as error:
            raise _unusable(error, self.path) from error
        self._drop_seals()

    def touch(self, key: str) -> None:
        """It is used now."""
        with suppress(OSError):
            os.utime(self.path / f"{key}.json")

    def owners(self, engine: str) -> list[str]:
        """Whose copies there are on an engine, the last used first."""
        found = [path for path in self._chains() if path.stem.startswith(f"{engine}-")]
        found.sort(key=changed_at, reverse=True)
        return [path.stem.partition("-")[2].replace("-", ":") for path in found]

    def _chains(self) -> list[Path]:
        return [p for p in self.path.glob("*-*.json") if not p.name.startswith("distromatrix-")]

    def _layers(self) -> dict[Path, dict[str, int]]:
        """The layers that each chain's file names, and their cost."""
        found: dict[Path, dict[str, int]] = {}
        for path in self._chains():
            found[path] = {}
            with suppress(ValueError, TypeError, KeyError):
                found[path] = {str(n): int(cost) for n, cost, _ in read_json(path)["layers"]}
        return found

    def _drop_seals(self) -> None:
        tops = {next(reversed(layers), "") for layers in self._layers().values()}
        for path in self.path.glob("distromatrix-*.json"):
            if path.stem not in tops:
                path.unlink(missing_ok=True)

    # --- uses ------------------------------------------------------------------------------

    def uses(self, run: str) -> dict[str, tuple[str, ...]]:
        """What a run stands on, by engine and owner."""
        found = read_json(self.path / "uses" / f"{run}.json")
        with suppress(TypeError, KeyError, AttributeError):
            return {str(key): tuple(map(str, names)) for key, names in found["layers"].items()}
        return {}

    def use(self, run: str, folder: Path, layers: Mapping[str, Iterable[str]]) -> None:
        """Note what a run stands on. Raises InfrastructureError."""
        text = json.dumps(
            {"folder": str(folder), "layers": {k: list(v) for k, v in layers.items()}}
        )
        try:
            write_whole(self.path / "uses" / f"{run}.json", text, 0o600)
        except OSError as error:
            raise _unusable(error, self.path) from error

    def let_go(self, run: str) -> None:
        """A run stands on nothing any more."""
        with suppress(OSError):
            (self.path / "uses" / f"{run}.json").unlink(missing_ok=True)

    def in_use(self) -> set[str]:
        """The layers that runs stand on which live, or can go on. What others note is dropped."""
        found: set[str] = set()
        for path in (self.path / "uses").glob("*.json"):
            with suppress(TypeError, KeyError, AttributeError):
                noted = read_json(path)
                run = Path(noted["folder"])
                if is_alive(run) or (run / "snapshot.json").exists():
                    found.update(*map(tuple, noted["layers"].values()))
                    continue
            path.unlink(missing_ok=True)
        return found

    def needed(self) -> set[str]:
        """All layers that anything names. Raises OSError."""
        os.listdir(self.path)  # noqa: PTH208 - where it cannot be read, nothing is known
        named = self._layers()  # first: what goes from there meanwhile was noted as used before
        return self.in_use().union(*named.values())


def forget(room: int, *, everything: bool = False) -> None:
    """Forget what is kept of products beyond so many bytes, those that were used longest ago, and
    what was not used for KEPT_FOR, or whose product is gone; but what runs stand on. Then the
    sweep removes it. What somebody is at work with is left alone."""
    folders = [ProductFolder(path) for path in (cache_path() / _PRODUCTS).glob("*")]
    known = [
        (changed_at(chain), chain, folder, sum(layers.values()))
        for folder in folders
        for chain, layers in folder._layers().items()
    ]
    for used, chain, folder, size in sorted(known, key=lambda one: one[0], reverse=True):
        room -= size
        gone = folder.is_products is False
        if everything or gone or room < 0 or time.time() - used > KEPT_FOR:
            room += size
            with suppress(InUseError, OSError), hold(folder.path / "lock", wait=0):
                if not folder.in_use() & folder._layers().get(chain, {}).keys():
                    chain.unlink(missing_ok=True)
                    folder._drop_seals()
    for folder in folders:
        there = folder.is_products
        stays = {True: KEPT_FOR, None: _BEGUN_WITHIN, False: 0.0}[there]
        if everything or time.time() - changed_at(folder.path) > stays:
            _remove(folder)


def needed_by(keeper: Path) -> set[str] | None:
    """The layers that a product's folder names; None where that cannot be known: it is another
    user's. Where there is no folder any more, none."""
    try:
        return ProductFolder(keeper).needed()
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError:
        return None


def _remove(folder: ProductFolder) -> None:
    """All of it, unless anything is named in it; at once for who waits for its lock."""
    with suppress(InUseError, OSError), hold(folder.path / "lock", wait=0):
        if not folder._chains() and not folder.in_use():
            shutil.rmtree(folder.path.rename(f"{folder.path}.gone"))


def _unusable(error: OSError, path: Path) -> InfrastructureError:
    return InfrastructureError(
        f"{error.filename or path}: {error.strerror}: what is kept of the product cannot be noted",
        transient=False,
    )
