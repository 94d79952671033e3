"""Which of the things on an engine are a dead run's, and go."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from distromatrix.engines.contract import Engine, Leftover
from distromatrix.errors import InfrastructureError
from distromatrix.execute import sweep as sweep_module
from distromatrix.execute.product.chains import Chain, Layer, ProductFolder
from distromatrix.execute.sweep import KEPT_FOR, find_dead, sweep, sweep_before
from distromatrix.files.user_folders import host_name
from distromatrix.record.folder import RunFolder


class Shelf:
    """An engine that has things lying about, some of them stuck."""

    layers = None

    def __init__(self, *things: Leftover, stuck: tuple[str, ...] = ()) -> None:
        self.things = list(things)
        self.stuck = stuck

    def leftovers(self) -> tuple[Leftover, ...]:
        return tuple(self.things)

    def remove(self, leftover: Leftover) -> None:
        if leftover.name in self.stuck:
            raise InfrastructureError(f"{leftover.name} is stuck")
        self.things.remove(leftover)

    @property
    def engine(self) -> Engine:
        return cast(Engine, self)

    @property
    def names(self) -> set[str]:
        return {one.name for one in self.things}


def thing(name: str, folder: Path, kind: str = "container", **other: object) -> Leftover:
    values = {"run": "r", "host": host_name(), "kept": False, "created": time.time(), **other}
    return Leftover(kind=kind, name=name, folder=str(folder), **values)  # type: ignore[arg-type]


def test_only_a_dead_runs_things_go_and_machines_before_volumes(tmp_path: Path) -> None:
    gone = tmp_path / "runs/gone"
    with RunFolder.create(tmp_path) as living:
        shelf = Shelf(
            thing("volume", gone, "volume"),
            thing("machine", gone),
            thing("living", living.path),
            thing("elsewhere", gone, host="another"),
            thing("nobody's", Path()),
            thing("kept", gone, kept=True),
            thing("kept-too-long", gone, kept=True, created=time.time() - KEPT_FOR - 1),
            thing("of-a-shell", tmp_path / "shells/gone", kept=True),
        )
        shelf.things[4] = replace(shelf.things[4], folder="")
        dead = [left.name for left in find_dead(shelf.engine)]
        assert dead == ["machine", "kept-too-long", "of-a-shell", "volume"]
        sweep(shelf.engine)
        assert shelf.names == {"living", "elsewhere", "nobody's", "kept"}
        sweep(shelf.engine, kept_too=True)
        assert shelf.names == {"living", "elsewhere", "nobody's"}


def test_what_cannot_be_removed_keeps_nothing_else_and_is_told(tmp_path: Path) -> None:
    shelf = Shelf(thing("a", tmp_path), thing("b", tmp_path), stuck=("a",))
    with pytest.raises(InfrastructureError, match="a is stuck"):
        sweep(shelf.engine)
    assert shelf.names == {"a"}


def test_what_cannot_be_removed_is_no_end_for_who_listens(tmp_path: Path) -> None:
    shelf = Shelf(thing("a", tmp_path), thing("b", tmp_path), stuck=("a",))
    told: list[str] = []
    assert [left.name for left in sweep(shelf.engine, tell=told.append)] == ["b"]
    assert told == ["a is stuck"]


def test_a_volume_that_somebody_elses_removal_still_holds_is_tried_again(tmp_path: Path) -> None:
    shelf = Shelf(thing("volume", tmp_path, "volume"), stuck=("volume",))
    threading.Timer(0.1, lambda: setattr(shelf, "stuck", ())).start()
    assert [left.name for left in sweep(shelf.engine)] == ["volume"]


def test_a_resumed_run_removes_what_its_earlier_start_left(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as folder:
        shelf = Shelf(
            thing("volume", folder.path, "volume"),
            thing("machine", folder.path),
            thing("kept", folder.path, kept=True),
            thing("other", tmp_path / "runs/other"),
        )
        sweep_before(shelf.engine, folder)
    assert shelf.names == {"kept", "other"}


GIB = 1024**3


def ready(name: str, folder: Path, used: float, size: int, kind: str = "template") -> Leftover:
    """What is kept ready, and was used so many seconds ago."""
    created = time.time() - used
    return thing(name, folder / name, kind, kept=True, created=created, run="", size=size)


def test_of_too_much_that_is_kept_ready_what_was_used_longest_ago_goes(tmp_path: Path) -> None:
    shelf = Shelf(
        ready("old", tmp_path, 900, 4 * GIB),
        ready("older", tmp_path, 1000, 4 * GIB),
        ready("new", tmp_path, 10, 15 * GIB),
        ready("oldest", tmp_path, 2000, GIB, "box"),
        thing("kept", tmp_path / "run", kept=True),
    )
    assert [left.name for left in sweep(shelf.engine)] == ["older", "oldest"]
    assert shelf.names == {"new", "old", "kept"}
    assert sweep(shelf.engine) == ()


def test_what_is_in_use_stays_however_much_it_is(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as held:
        used = thing("used", held.path, "template", kept=True, size=30 * GIB, created=1.0)
        shelf = Shelf(used, ready("new", tmp_path, 10, GIB))
        assert sweep(shelf.engine) == ()


def test_what_an_engine_does_not_remove_is_not_said_to_be_gone(tmp_path: Path) -> None:
    class Firm(Shelf):
        def remove(self, leftover: Leftover) -> None:
            if leftover.kind != "box":
                super().remove(leftover)

    big, box = ready("big", tmp_path, 20, 21 * GIB), ready("box", tmp_path, 10, 21 * GIB, "box")
    shelf = Firm(big, box)
    assert [left.name for left in sweep(shelf.engine)] == ["big"]
    assert shelf.names == {"box"}


def test_of_what_is_kept_of_products_only_what_nothing_names_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = ProductFolder.of(tmp_path)
    product.remember("engine-0-0", Chain([Layer("named", 1), Layer("on-top", 1)], {"a": "b"}))
    gone = tmp_path / "runs/gone"
    with RunFolder.create(tmp_path) as living:
        product.use(living.id, living.path, {"engine-1-1": ["stood-on"]})
        product.use("dead", gone, {"engine-1-1": ["was-stood-on"]})

        def layer(name: str, folder: Path = gone, keeper: Path = product.path) -> Leftover:
            return thing(name, folder, "layer", keeper=str(keeper))

        shelf = Shelf(
            *map(layer, ("named", "on-top", "stood-on", "was-stood-on", "partial")),
            layer("being-made", living.path),
            layer("forgotten", keeper=tmp_path / "none"),
            layer("anothers", keeper=tmp_path / "locked"),
            thing("entered", gone, "layer", kept=True, keeper=str(tmp_path / "none")),
        )
        needed = sweep_module.needed_by
        monkeypatch.setattr(
            sweep_module, "needed_by", lambda f: None if f.name == "locked" else needed(f)
        )
        dead = {left.name for left in find_dead(shelf.engine)}
        assert dead == {"was-stood-on", "partial", "forgotten"}
        sweep_before(shelf.engine, living)
        assert "being-made" in shelf.names
