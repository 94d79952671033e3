"""What machines are called: no two the same, and each fit to be a host's name."""

from __future__ import annotations

import re
import secrets
from itertools import product
from pathlib import Path

import pytest
from executing import World, cell

from distromatrix.engines.contract import (
    LABEL_FOLDER,
    LABEL_HOST,
    LABEL_RUN,
    Machine,
    MachineSpec,
    Stage,
)
from distromatrix.execute.cell.naming import host_name, machine_name
from distromatrix.record import folder as runs
from distromatrix.record.folder import RunFolder
from fake_engine.engine import FakeEngine

RUN = "20261128-003211-1445"
LABELS = {LABEL_RUN: RUN, LABEL_HOST: "h", LABEL_FOLDER: "/a"}
LONG = "s" * 63
HOST_NAME = re.compile(r"distromatrix-[a-z0-9-]*[a-z0-9]")


def test_no_two_machines_of_a_run_have_one_name() -> None:
    parts = ("a", "a-1", "1", "a.1", "a_1", "r1", "cases", "cases-1", LONG, f"{LONG[:-1]}t")
    ids = {"/".join(words) for n in (2, 3) for words in product(parts, repeat=n)}
    which = list(product((0, 1), (1, 2), (False, True)))
    names = {machine_name(RUN, LABELS, id, *one) for id in ids for one in which}
    assert len(names) == len(ids) * len(which)
    assert all(len(name) <= 63 and HOST_NAME.fullmatch(name) for name in names)


def test_runs_of_other_folders_and_hosts_have_other_names_though_they_share_an_id() -> None:
    others = (LABELS, LABELS | {LABEL_HOST: "i"}, LABELS | {LABEL_FOLDER: "/b"})
    assert len({machine_name(RUN, labels, "a/unit") for labels in others}) == 3


def test_a_name_says_which_cell_it_is_as_far_as_it_has_room() -> None:
    name = machine_name(RUN, LABELS, "alpine-3.20/unit/py3")
    assert name.startswith(f"distromatrix-{RUN}-alpine-3-20-unit-")


def test_cells_whose_joined_names_are_the_same_run_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    opened = FakeEngine.open

    def open_noted(engine: FakeEngine, spec: MachineSpec, stage: Stage | None) -> Machine:
        names.append(spec.name)
        return opened(engine, spec, stage)

    monkeypatch.setattr(FakeEngine, "open", open_noted)
    cells = (cell("a/unit/py3"), cell("a/unit-py3"), cell(f"a/{LONG}/{LONG}"))
    assert World(tmp_path).execute(*cells).exit_code == 0
    assert len(set(names)) == 3


def test_runs_that_begin_in_the_same_second_never_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["aaaa", "aaaa", "bbbb"])
    token = secrets.token_hex
    monkeypatch.setattr(runs.secrets, "token_hex", lambda n: next(tokens) if n == 2 else token(n))
    monkeypatch.setattr(runs.time, "strftime", lambda _f: "20261128-003211-")
    assert [RunFolder.create(tmp_path).id[-4:] for _ in range(2)] == ["aaaa", "bbbb"]


def test_a_machine_is_called_as_its_distro_in_letters_that_a_host_may_have() -> None:
    assert host_name("alpine-3.20") == "alpine-3-20"
    assert host_name("Some_distro.") == "some-distro"
