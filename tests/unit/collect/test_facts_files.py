"""Facts in a run's folder: written beside those that are there, and read from anybody's."""

import json
import os
from pathlib import Path

from distromatrix.collect.facts import MOST, add_facts, facts_files, read_facts
from distromatrix.model import Facts

ONE = Facts(image="sha256:1", libc="glibc", packages={"bash": "5.2"}, limits=("nofiles 9",))
OTHER = Facts(image="sha256:2", libc="musl")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    add_facts(tmp_path, {"debian-12/unit": ONE, "debian-12/docs": ONE})
    add_facts(tmp_path, {"debian-12/more": OTHER, "alpine-3.20/unit": OTHER})
    assert read_facts(tmp_path) == {
        "debian-12/unit": ONE,
        "debian-12/docs": ONE,
        "debian-12/more": OTHER,
        "alpine-3.20/unit": OTHER,
    }
    machines = json.loads((tmp_path / "facts/debian-12.json").read_text())["machines"]
    assert [one["cells"] for one in machines] == [
        ["debian-12/unit", "debian-12/docs"],
        ["debian-12/more"],
    ]
    assert facts_files(tmp_path) == {
        "debian-12": "facts/debian-12.json",
        "alpine-3.20": "facts/alpine-3.20.json",
    }


def test_no_facts_write_nothing(tmp_path: Path) -> None:
    add_facts(tmp_path, {})
    assert not list(tmp_path.iterdir()) and read_facts(tmp_path) == {}
    assert facts_files(tmp_path) == facts_files(tmp_path / "gone") == {}


def test_a_file_from_elsewhere_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "facts"
    folder.mkdir()
    machine = {
        "cells": ["debian-11/unit", "debian-12/unit", 7],
        "libc": ["x"],
        "kernel": "\x1b[2J6",
    }
    (folder / "debian-12.json").write_text(json.dumps({"machines": [machine]}))
    (folder / "debian-11.json").write_text("[" * 100_000)
    (folder / "rocky-9.json").write_text('{"machines": 3}')
    (folder / "arch.json").symlink_to(folder / "debian-12.json")
    with (folder / "void.json").open("wb") as file:
        file.truncate(MOST + 1)
    os.mkfifo(folder / "pipe.json")
    (folder / "sub.json").mkdir()
    (folder / "many.json").write_text(
        json.dumps({"machines": [{"cells": [f"many/{n}"]} for n in range(2000)]})
    )
    assert not facts_files(tmp_path).keys() & {"arch", "pipe", "sub"}  # not to be linked to
    facts = read_facts(tmp_path)
    assert len([cell for cell in facts if cell.startswith("many/")]) == 1000
    facts = {cell: one for cell, one in facts.items() if not cell.startswith("many/")}
    assert set(facts) == {"debian-12/unit"}  # a distro's file speaks of its own cells alone
    assert facts["debian-12/unit"].libc == ""
    assert "\x1b" not in facts["debian-12/unit"].kernel


def test_a_folder_of_facts_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    add_facts(tmp_path / ".", {"debian-12/unit": ONE})
    run = tmp_path / "run"
    run.mkdir()
    (run / "facts").symlink_to(tmp_path / "facts")
    assert read_facts(run) == {} and facts_files(run) == {}
