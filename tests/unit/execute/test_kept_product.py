"""What is kept of a product on an engine between runs: only what differs is sent, and what a copy
shows is what lies there."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distromatrix.engines.layers import Pack
from distromatrix.errors import InfrastructureError, InputError
from distromatrix.execute.product import index, tar
from distromatrix.execute.product.chains import KEPT_FOR, ProductFolder, forget, needed_by
from distromatrix.execute.product.kept import MOST_LAYERS, KeptProduct
from distromatrix.execute.product.snapshot import Snapshot, stored, take
from distromatrix.files import lock
from distromatrix.model import Product
from distromatrix.record.folder import RunFolder

Tree = dict[str, tuple[object, ...]]


@dataclass
class Store:
    """Layers in this process: the tar streams of which they were made."""

    layers: dict[str, bytes] = field(default_factory=dict)
    engine: str = "here"
    sent: int = 0
    broken: bool = False

    def has(self, names: Iterable[str]) -> bool:
        return self.layers.keys() >= set(names)

    def add(self, name: str, owner: str, pack: Pack, labels: Mapping[str, str]) -> None:
        data = b"".join(pack(""))
        if self.broken:
            raise InfrastructureError("no room")
        self.layers[name] = data
        self.sent = len(data)

    def read(self, name: str, path: str) -> Iterator[bytes]:
        with tarfile.open(fileobj=io.BytesIO(self.layers[name])) as tar:
            found = next((m for m in tar if m.name == f"product/{path}" and m.isreg()), None)
            if found is None:
                raise FileNotFoundError(path)
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as out:
                out.addfile(found, tar.extractfile(found))
        yield buffer.getvalue()

    def seen(self, names: tuple[str, ...]) -> Tree:
        """What a machine sees: the layers through each other, as overlayfs has it."""
        tree: Tree = {}
        for name in reversed(names):
            layer, gone = tree_of(self.layers[name])
            for path in gone:
                drop(tree, path)
            for path, what in layer.items():
                if what[0] != "dir" or tree.get(path, ("dir",))[0] != "dir":
                    drop(tree, path)
                tree[path] = what
        return tree


def drop(tree: Tree, path: str) -> None:
    for one in [p for p in tree if p == path or p.startswith(f"{path}/")]:
        del tree[one]


def tree_of(data: bytes) -> tuple[Tree, list[str]]:
    tree: Tree = {}
    gone: list[str] = []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            if member.ischr():
                gone.append(member.name)
            elif member.isdir():
                tree[member.name] = ("dir", member.mode)
            elif member.issym():
                tree[member.name] = ("link", member.linkname)
            elif member.islnk():
                tree[member.name] = tree[member.linkname]
            else:
                held = tar.extractfile(member)
                assert held is not None
                tree[member.name] = ("file", member.mode, member.mtime, held.read())
    return tree, gone


@dataclass
class World:
    """A product, an engine, and a run after the other."""

    folder: Path
    store: Store = field(default_factory=Store)

    def __post_init__(self) -> None:
        self.product.mkdir()

    @property
    def product(self) -> Path:
        return self.folder / "p"

    def run(self, owner: str = "0:0") -> tuple[RunFolder, Snapshot, KeptProduct]:
        folder = RunFolder.create(self.folder)
        keeper = KeptProduct(self.store, self.product, folder, {}, owner)
        return folder, take(Product(path=self.product), folder.snapshot, keeper=keeper), keeper

    def shown(self, owner: str = "0:0") -> Tree:
        """What a run's machines see. The run is then complete."""
        folder, snapshot, keeper = self.run(owner)
        with folder:
            found = self.store.seen(keeper.of(owner))
            snapshot.forget()
        return found

    def there(self) -> Tree:
        """What they should see."""
        snapshot = take(Product(path=self.product), self.folder / "whole.tar")
        found = tree_of(snapshot.path.read_bytes())[0]
        snapshot.forget()
        return found

    def kept(self) -> set[str]:
        folder = ProductFolder.of(self.product)
        return needed_by(folder.path) or set()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    world = World(tmp_path)
    (world.product / "d").mkdir()
    (world.product / "big").write_bytes(os.urandom(300_000))
    (world.product / "d/a").write_text("a")
    (world.product / "d/b").write_text("b")
    return world


NAMES = st.sampled_from(["a", "b", "a/a", "a/b", "b/a", "b/a/a", "c"])
EDITS = st.lists(st.tuples(st.sampled_from("fdlhx"), NAMES, NAMES), max_size=6)


def edit(root: Path, kind: str, name: str, other: str) -> None:
    path = root / name
    with suppress(OSError):
        if kind != "d" or not path.is_dir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    with suppress(OSError):
        if kind == "d":
            path.mkdir(parents=True)
        elif kind == "f":
            path.write_text(other * 3)
        elif kind == "l":
            path.symlink_to(other)
        elif kind == "h":
            path.hardlink_to(root / other)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(EDITS, min_size=2, max_size=5))
def test_whatever_is_changed_a_copy_is_what_lies_there(rounds: list[list[tuple]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", f"{folder}/cache")
        world = World(Path(folder))
        (world.product / "big").write_bytes(bytes(range(256)) * 2000)
        for edits in rounds:
            for one in edits:
                edit(world.product, *one)
            assert world.shown() == world.there()


def test_what_has_not_changed_is_neither_read_nor_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_JUST", 0)
    first = world.shown()
    layers = dict(world.store.layers)
    monkeypatch.setattr(tar, "open_file", None)  # whoever reads a file fails
    folder, snapshot, keeper = world.run()
    monkeypatch.undo()
    assert world.store.seen(keeper.of("0:0")) == first
    assert world.store.layers == layers
    assert snapshot.digest() == take(Product(path=world.product), world.folder / "t").digest()
    folder.__exit__()


def test_of_a_change_only_what_differs_is_sent(world: World) -> None:
    world.shown()
    (world.product / "d/a").write_text("other")
    (world.product / "d/b").unlink()
    assert world.shown() == world.there()
    assert world.store.sent < 20_000


def test_a_change_that_keeps_size_and_time_is_seen(world: World) -> None:
    file = world.product / "d/a"
    old = file.stat()
    world.shown()
    file.write_text("z")
    os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert world.shown()["product/d/a"][-1] == b"z"


def test_a_file_that_was_just_written_is_read_again(world: World) -> None:
    # It may be written to again within what the disk's clock calls the same time.
    world.shown()
    found = index.load(ProductFolder.of(world.product).index)
    assert found is not None
    assert found[0]["d/a"].seen is None
    assert found[0]["d/a"].content


def test_layers_stay_few_however_often_something_changes(world: World) -> None:
    for number in range(3 * MOST_LAYERS):
        (world.product / f"n{number}").write_bytes(os.urandom(4000 * (number % 5)))
        folder, snapshot, keeper = world.run()
        with folder:
            assert len(keeper.of("0:0")) <= MOST_LAYERS
            assert world.store.seen(keeper.of("0:0")) == world.there()
            snapshot.forget()


def test_another_owners_copy_is_one_of_its_own(world: World) -> None:
    folder, snapshot, keeper = world.run()
    with folder:
        others = keeper.of("1000:1000")
        assert not set(others) & set(keeper.of("0:0"))
        assert world.store.seen(others) == world.store.seen(keeper.of("0:0"))
        snapshot.forget()


def test_what_changes_during_the_run_is_for_its_machines_as_it_was(world: World) -> None:
    folder, snapshot, keeper = world.run()
    with folder:
        before = world.store.seen(keeper.of("0:0"))
        (world.product / "d/a").write_text("changed")
        (world.product / "d/b").unlink()
        assert snapshot.matching(("d/*",))[0][1] == b"a"
        assert world.store.seen(keeper.of("1:1")) == before
        assert tree_of(snapshot.tar().read_bytes())[0] == before


def test_a_run_that_goes_on_has_the_product_as_it_was(world: World) -> None:
    folder, snapshot, keeper = world.run()
    layers, digest = keeper.of("0:0"), snapshot.digest()
    folder.__exit__()  # as one that was killed
    (world.product / "d/a").write_text("changed")
    (world.product / "d/b").unlink()
    world.shown()
    forget(0, everything=True)
    assert world.kept() >= set(layers)
    with RunFolder.lock(folder.path) as again:
        keeper = KeptProduct(world.store, world.product, again, {}, "0:0")
        snapshot = stored(Product(path=world.product), again.snapshot, keeper)
        assert (snapshot.digest(), keeper.of("0:0")) == (digest, layers)
        snapshot.forget()
    forget(0)
    assert world.kept() == set()


def test_a_run_whose_product_is_lost_does_not_go_on_with_another(world: World) -> None:
    folder, _, _ = world.run()
    folder.__exit__()
    world.store.layers.clear()
    with RunFolder.lock(folder.path) as again:
        keeper = KeptProduct(world.store, world.product, again, {}, "0:0")
        stored(Product(path=world.product), again.snapshot, keeper)
        (world.product / "d/a").write_text("changed")
        with pytest.raises(InputError, match=r"it may have changed since the run began"):
            keeper.of("0:0")


def test_what_could_not_be_sent_is_not_taken_for_kept(world: World) -> None:
    world.shown()
    (world.product / "d/a").write_text("changed")
    world.store.broken = True
    with pytest.raises(InfrastructureError):
        world.shown()
    world.store.broken = False
    assert world.shown() == world.there()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "layers": [1]}'])
def test_what_cannot_be_read_of_it_is_made_anew(world: World, text: str) -> None:
    world.shown()
    for file in ProductFolder.of(world.product).path.glob("*.json"):
        file.write_text(text)
    assert world.shown() == world.there()


def test_there_is_room_for_so_much_and_what_runs_stand_on_stays(world: World) -> None:
    world.shown()
    (first,) = world.kept()
    forget(1 << 30)
    assert world.kept() == {first}
    folder, snapshot, _ = world.run()
    with folder:
        forget(0)
        assert world.kept() == {first}
        snapshot.forget()
    forget(0)
    assert world.kept() == set()


def test_what_is_kept_of_a_product_that_is_gone_goes(world: World) -> None:
    world.shown()
    folder = ProductFolder.of(world.product).path
    shutil.rmtree(world.product)
    forget(1 << 30)
    assert needed_by(folder) == set()
    assert list(folder.parent.iterdir()) == []


def test_a_folder_stays_for_whom_it_may_be_and_goes_then(world: World) -> None:
    folders = ProductFolder.of(world.product).path, ProductFolder.of(world.folder).path
    (folders[1] / "root.json").unlink()  # as a run begins
    forget(0)
    assert all(folder.is_dir() for folder in folders)
    day = time.time() - 86400.0
    for folder in folders:
        os.utime(folder, (day, day))
    (folders[0].with_name("left.gone") / "uses").mkdir(parents=True)  # by one that was killed
    os.utime(folders[0].with_name("left.gone"), (day, day))
    forget(0)
    assert list(folders[0].parent.iterdir()) == [folders[0]]
    os.utime(folders[0], (day - KEPT_FOR, day - KEPT_FOR))
    forget(0)
    assert not folders[0].exists()


def test_who_waited_for_a_folder_that_was_removed_has_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProductFolder.of(world.product).held():
        forget(0, everything=True)
    folder = ProductFolder.of(world.product).path
    assert folder.is_dir()  # what somebody is at work with is left alone
    sweep = partial(forget, 0, everything=True)
    sweeps = iter(
        [sweep, lambda: None, sweep]
    )  # before it is opened, and between that and its lock
    of_sweep = lock.take

    def take_late(path: Path, *, shared: bool = False, wait: float | None = None) -> int:
        if wait is not None:  # the sweep's own
            return of_sweep(path, shared=shared, wait=wait)
        next(sweeps, lambda: None)()
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        next(sweeps, lambda: None)()
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    monkeypatch.setattr(lock, "take", take_late)
    assert world.shown() == world.there()
    assert world.kept()
    assert next(sweeps, None) is None


def test_of_a_folder_that_is_not_there_nothing_is_needed(tmp_path: Path) -> None:
    assert needed_by(tmp_path / "none") == set()
