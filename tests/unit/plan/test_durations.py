"""The durations of earlier runs: estimates, and a file that may be anything."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from test_shards import cell, plan_of

from distromatrix.errors import InfrastructureError
from distromatrix.model import CellResult, CellRun, Verdict
from distromatrix.plan.durations import MOST_CELLS, Durations, informed, read, update


def result(name: str, seconds: float, verdict: Verdict = Verdict.PASSED) -> CellResult:
    return CellResult(id=name, verdict=verdict, seconds=seconds)


def test_what_is_unknown_takes_as_long_as_what_is_most_like_it() -> None:
    known = Durations(
        cells={
            "a/unit/py": (1.0, 3.0, 2.0),
            "b/unit": (10.0,),
            "c/docs": (100.0, 300.0),
        }
    )
    names = ["a/unit/py", "x/unit/py", "x/unit", "x/unit/other", "x/docs", "x/new"]
    plan = plan_of(*map(cell, names), cell("x/never", None))
    assert known.estimate(plan) == {
        "a/unit/py": 2.0,
        "x/unit/py": 2.0,
        "x/unit": 10.0,
        "x/unit/other": 6.0,
        "x/docs": 200.0,
        "x/new": 10.0,
    }


def test_a_guess_for_all_of_them_is_no_knowledge() -> None:
    plan = plan_of(cell("a/b"), cell("c/d"))
    assert informed(Durations().estimate(plan)) == {}
    assert informed({}) == {}
    known = Durations(cells={"a/b": (1.0,)}).estimate(plan)
    assert informed(known) == known == {"a/b": 1.0, "c/d": 1.0}


def test_where_nothing_is_known_all_are_alike() -> None:
    assert set(Durations().estimate(plan_of(cell("a/b"), cell("c/d"))).values()) == {30.0}


def test_the_newest_five_runs_of_each_cell_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "new" / "durations.json"
    for seconds in range(1, 8):
        assert update(file, [result("a/b", seconds)]) == ""
    assert read(file) == Durations(cells={"a/b": (3.0, 4.0, 5.0, 6.0, 7.0)})
    assert json.loads(file.read_text())["version"] == 1
    assert sorted(p.name for p in file.parent.iterdir()) in (
        ["durations.json"],
        ["durations.json", "durations.json.lock"],
    )


def test_what_did_not_come_to_its_end_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    runs = tuple(CellRun(repeat=n, verdict=Verdict.PASSED) for n in (1, 2, 3))
    update(
        file,
        [
            result("a/skipped", 5, Verdict.SKIPPED),
            result("a/error", 5, Verdict.ERROR),
            result("a/failed", 5, Verdict.FAILED),
            CellResult(id="a/thrice", verdict=Verdict.PASSED, seconds=9.0, runs=runs),
        ],
    )
    assert read(file).cells == {"a/failed": (5.0,), "a/thrice": (3.0,)}


DEEP = "[" * 100_000
NOT_DURATIONS = "these are no durations of version 1; not used"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", NOT_DURATIONS),
        (b"{", NOT_DURATIONS),
        (b"\xff\xfe\x00", NOT_DURATIONS),
        (DEEP.encode(), NOT_DURATIONS),
        (b"[]", NOT_DURATIONS),
        (b'{"version": 2, "cells": {"a/b": [1]}}', NOT_DURATIONS),
        (b'{"version": 1, "cells": [1]}', NOT_DURATIONS),
        (b" " * (4 * 1024**2 + 1), "more than 4 MiB are no durations; they are not used"),
    ],
    ids=["empty", "cut off", "binary", "deep", "list", "version", "cells", "huge"],
)
def test_a_file_that_is_no_durations_is_told_in_a_line_and_replaced(
    tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "d.json"
    file.write_bytes(content)
    assert read(file) == Durations(warning=f"{file}: {said}")
    assert update(file, [result("a/b", 1)]) == f"{file}: {said}"
    assert read(file) == Durations(cells={"a/b": (1.0,)})


def test_entries_that_are_none_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    wrong = '"x", null, true, NaN, Infinity, -1, 0, 1e30, [2], {}'
    file.write_text(f'{{"version": 1, "cells": {{"a/b": [{wrong}, 7], "c/d": 5, "e/f": [0]}}}}')
    assert read(file) == Durations(cells={"a/b": (7.0,)}, warning=f"{file}: 2 entries left out")


def test_a_file_that_is_not_there_or_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert "no durations of earlier runs yet" in read(tmp_path / "none.json").warning
    assert "durations cannot be read: Is a directory" in read(tmp_path).warning


def test_a_file_that_cannot_be_written_is_the_infrastructures_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="durations cannot be written"):
        update(tmp_path / "file" / "d.json", [result("a/b", 1)])


def test_only_a_regular_file_is_replaced_and_a_link_stays_one(tmp_path: Path) -> None:
    result = CellResult(id="a/b", verdict=Verdict.PASSED, engine="docker", seconds=2.0)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InfrastructureError, match="not a regular file"):
        update(tmp_path / "pipe", [result])
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to("there.json")
    update(tmp_path / "link", [result])
    assert (tmp_path / "link").is_symlink()
    assert read(tmp_path / "there.json").cells == {"a/b": (2.0,)}


def test_it_stays_small_and_those_that_ran_last_stay(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    update(file, [result("old/cell", 1), result("kept/cell", 1), result("also/old", 1)])
    update(file, [result(f"d/{n}", 1.5) for n in range(MOST_CELLS - 1)] + [result("kept/cell", 2)])
    cells = read(file).cells
    assert len(cells) == MOST_CELLS
    assert cells["kept/cell"] == (1.0, 2.0)
    assert not {"old/cell", "also/old"} & set(cells)
    update(file, [result(f"{n:0240}/unit", 1.123) for n in range(MOST_CELLS)])
    assert file.stat().st_size <= 4 * 1024**2
    assert f"{MOST_CELLS - 1:0240}/unit" in read(file).cells


def test_durations_of_another_matrix_are_known_for_that() -> None:
    plan = plan_of(cell("a/b"))
    assert Durations(cells={"x/y": (1.0,)}).of_another(plan)
    assert not Durations(cells={"x/y": (1.0,), "a/b": (1.0,)}).of_another(plan)
    assert not Durations().of_another(plan)


def _add(file: Path, number: int) -> None:
    for turn in range(10):
        update(file, [result(f"d{number}/s{turn}", 1)])


def test_several_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    forked = multiprocessing.get_context("fork")
    writers = [forked.Process(target=_add, args=(file, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read(file).cells) == 40
