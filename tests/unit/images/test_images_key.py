"""The key of a cache of images: the same for the same images, another for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cli_world import MATRIX, Cli

from distromatrix.images.store.cachekey import cache_key
from distromatrix.model import (
    Archive,
    Cell,
    Distro,
    Guest,
    Plan,
    Prepare,
    Product,
    Pull,
)

NOW = 1_700_000_000.0
WEEK = 7 * 86400.0


def distro(name: str, **more: object) -> Distro:
    made = Distro(
        name=name,
        title=name,
        family="debian",
        package_manager="apt",
        libc="glibc",
        image=(Pull(ref=f"docker.io/library/{name}:1"),),
    )
    return replace(made, **more)


def cell(name: str, suite: str = "unit", **more: object) -> Cell:
    made = Cell(
        id=f"{name}/{suite}", distro=name, suite=suite, engine="docker", reason="", run="true"
    )
    return replace(made, **more)


def key_of(*cells: Cell, distros: tuple[Distro, ...] = (), now: float = NOW, text: str = "") -> str:
    known = distros or (distro("one"), distro("two"))
    root = Path()
    plan = Plan(matrix=root, root=root, product=Product(path=root), cells=cells, distros=known)
    return cache_key(plan, cells, lambda _: (("a.txt", text.encode(), 0o644),), now)


def test_what_decides_no_image_decides_no_key() -> None:
    key = key_of(cell("one"), cell("two"))
    assert key == key_of(cell("two"), cell("one"))
    assert key == key_of(cell("one", run="false", timeout=3.0), cell("two"))
    assert key == key_of(cell("one"), cell("one", "more"), cell("two"))
    assert key == key_of(cell("one"), cell("two"), cell("two", packages=("x",), engine=None))
    assert key == key_of(cell("one"), cell("two"), now=NOW + 60)
    assert len(key.split("-")) == 2


CHANGED: dict[str, Callable[[], str]] = {
    "packages": lambda: key_of(cell("one", packages=("git",))),
    "prepare": lambda: key_of(cell("one", prepare=Prepare(run="true"))),
    "user": lambda: key_of(cell("one", user="tester")),
    "guest": lambda: key_of(
        cell("one", engine="qemu"), distros=(distro("one", guest=Guest(kernel="linux")),)
    ),
    "source": lambda: key_of(
        cell("one"), distros=(distro("one", image=(Pull(ref="docker.io/library/one:2"),)),)
    ),
    "time": lambda: key_of(cell("one"), now=NOW + WEEK / 2),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_decides_an_image_decides_the_second_half(what: str) -> None:
    first, other = key_of(cell("one")), CHANGED[what]()
    assert first != other
    assert first.split("-")[0] == other.split("-")[0]


def test_the_files_of_prepare_count_by_their_contents() -> None:
    wanting = cell("one", prepare=Prepare(run="cat a.txt", files=("*.txt",)))
    assert key_of(wanting, text="a") == key_of(wanting, text="a") != key_of(wanting, text="b")


def test_other_distros_are_another_first_half() -> None:
    halves = {key_of(*cells).split("-")[0] for cells in ((cell("one"),), (cell("two"),))}
    assert len(halves) == 2


def test_what_never_ages_has_one_key_for_ever() -> None:
    fixed = (distro("one", image=(Archive(file="a.tar", sha256="0" * 64),)),)
    assert key_of(cell("one"), distros=fixed) == key_of(
        cell("one"), distros=fixed, now=NOW + 100 * WEEK
    )


def test_the_command_says_the_key_of_a_shard_and_looks_at_files(cli: Cli, project: Path) -> None:
    whole = cli("images", "key").out.strip()
    assert cli("plan", "--save", "plan.json").code == 0
    assert cli("images", "key", "--plan", "plan.json").out.strip() == whole
    shards = {cli("images", "key", "--plan", "plan.json", "--shard", f"{k}/4").out for k in (1, 4)}
    assert len(shards) == 2 and whole not in shards
    assert cli("images", "key", "--shard", "1/2").code == 2
    (project / "matrix/default.yaml").write_text(
        MATRIX.replace(
            "{run: echo fine}", "{run: 'true', prepare: {files: ['*.txt'], run: 'true'}}"
        )
    )
    keys = set()
    for text in "aab":
        (project / "a.txt").write_text(text)
        keys.add(cli("images", "key").out)
    assert len(keys) == 2
    assert not list((project / ".distromatrix/builds").glob("*"))
