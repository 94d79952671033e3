"""Cells in batches: each once, of one distro and one need, none longer than its share."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from distromatrix.model import Cell
from distromatrix.plan.batches import MIB, batches, needs_of
from distromatrix.plan.shards import UNKNOWN


def cell(name: str, engine: str = "docker", cpus: float = 1.0, memory: int = MIB) -> Cell:
    distro, suite = name.split("/")
    return Cell(
        id=name,
        distro=distro,
        suite=suite,
        variant=None,
        engine=engine,
        reason="",
        verdict=None,
        run="true",
        cpus=cpus,
        memory=memory,
    )


@st.composite
def works(draw: st.DrawFn) -> tuple[list[Cell], dict[str, dict[str, int]], dict[str, float]]:
    """Cells in any order, what each needs, and how long some of them take."""
    names = st.tuples(st.integers(0, 4), st.integers(0, 30))
    cells = [cell(f"d{d}/s{s}") for d, s in draw(st.lists(names, max_size=80, unique=True))]
    needs = {one.id: {"cpus": draw(st.sampled_from([500, 1000, 4000]))} for one in cells}
    known = st.floats(0, 1e5, allow_nan=False)
    return cells, needs, {one.id: draw(known) for one in cells if draw(st.booleans())}


@given(works(), st.integers(0, 300), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_cell_once_alike_and_within_its_share(
    work: tuple[list[Cell], dict[str, dict[str, int]], dict[str, float]], places: int, ordered: bool
) -> None:
    cells, needs, seconds = work
    made = batches(cells, needs, seconds, places, ordered=ordered)
    by_id = {one.id: one for one in cells}
    assert Counter(one for batch in made for one in batch.cells) == Counter(list(by_id))
    assert [batch.number for batch in made] == list(range(len(made)))
    share = sum(seconds.get(one, UNKNOWN) for one in by_id) / max(4 * places, 1)
    for batch in made:
        assert len({by_id[one].distro for one in batch.cells}) == 1
        assert all(needs[one] == batch.needs for one in batch.cells)
        length = sum(seconds.get(one, UNKNOWN) for one in batch.cells)
        assert len(batch.cells) == 1 or length <= share * (1 + 1e-9)
    if ordered:
        assert [batch.cells for batch in made] == [(one.id,) for one in cells]
    else:
        lengths = [batch.seconds for batch in made]
        assert lengths == sorted(lengths, reverse=True)


def test_cells_of_a_distro_stay_together_where_their_share_allows() -> None:
    cells = [cell(f"d{d}/s{s}") for s in range(4) for d in range(2)]
    made = batches(cells, {one.id: {} for one in cells}, {one.id: 1.0 for one in cells}, 1)
    assert len(made) == 4
    assert {len(batch.cells) for batch in made} == {2}


def test_a_cell_that_declares_more_than_any_host_has_takes_one_for_itself() -> None:
    most = {"cpus": 2000, "memory": 100}
    assert needs_of(cell("d/s", cpus=8, memory=MIB << 20), most) == most
    assert needs_of(cell("d/s", cpus=0.0005, memory=1), most) == {"cpus": 1, "memory": 1}


def test_guests_are_asked_for_where_there_are_some() -> None:
    most = {"cpus": 2000, "memory": 100, "qemu": 1000}
    assert needs_of(cell("d/s", "qemu"), most)["qemu"] == 1
    assert needs_of(cell("d/s"), most, ("qemu",))["qemu"] == 1
    assert "vagrant" not in needs_of(cell("d/s", "vagrant"), most)
    assert "qemu" not in needs_of(cell("d/s"), most)
