"""What is kept ready for guests is made once, whole or not at all, and held while it is used."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from distromatrix.engines.guest.ready import PREFIX, Store, read_facts
from distromatrix.record.folder import is_alive

NAME = f"{PREFIX}1"


class Maker:
    """Makes it, if `fails` does not say why not; what was ended is counted."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder, lambda one: self.ended.append(one.name))
        self.ended: list[str] = []
        self.made = 0
        self.fails: BaseException | None = None

    def make(self, folder: Path) -> Mapping[str, object]:
        assert [one.name for one in folder.iterdir()] == ["lock"]
        self.made += 1
        (folder / "disk").write_text(str(self.made))
        if self.fails:
            raise self.fails
        return {"path": folder / "disk"}

    def use(self) -> str:
        with self.store.hold(NAME, self.make, read_facts) as facts:
            return Path(facts["path"]).read_text()


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "cache")


def test_it_is_made_once_for_all_who_want_it(maker: Maker) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert {one.result() for one in [pool.submit(maker.use) for _ in range(16)]} == {"1"}
    (left,) = maker.store.list()
    assert (left.name, left.kept, is_alive(Path(left.folder))) == (NAME, True, False)


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_nothing_is_left_of_what_could_not_be_made(maker: Maker, error: BaseException) -> None:
    maker.fails = error
    with pytest.raises(type(error)):
        maker.use()
    assert list(maker.store.folder.iterdir()) == []
    assert maker.ended[-1] == NAME
    maker.fails = None
    assert maker.use() == "2"


def test_what_is_half_there_is_ended_and_made_anew(maker: Maker) -> None:
    maker.use()
    for half in ("", '{"path": '):
        (maker.store.folder / NAME / "done.json").write_text(half)
        maker.ended.clear()
        maker.use()
        assert NAME in maker.ended
    assert maker.made == 3


def test_what_is_held_or_in_use_is_not_removed(maker: Maker) -> None:
    with maker.store.hold(NAME, maker.make, read_facts):
        (left,) = maker.store.list()
        assert is_alive(Path(left.folder))
        maker.store.remove(NAME)
    maker.store.remove(NAME, lambda: True)
    assert maker.use() == "1"
    maker.store.remove(NAME)
    maker.store.remove(NAME)  # as somebody else may
    assert maker.store.list() == ()
    assert list(maker.store.folder.iterdir()) == []


def test_who_waits_for_it_to_be_made_is_told_so(maker: Maker) -> None:
    told: list[str] = []
    for _ in range(2):
        with maker.store.hold(NAME, maker.make, read_facts, lambda: told.append("made")):
            pass
    assert told == ["made"]
