"""What `run` and `plan` make of what earlier runs took, on the fake engine."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_world import Cli

from distromatrix.model import CellResult, Verdict
from distromatrix.record import history
from distromatrix.record.history import History, RunStamp


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is kept, although the engine is the fake one."""
    path = tmp_path / "data/h.sqlite3"
    monkeypatch.setattr(history, "history_file", lambda root: path)
    return path


def remember(path: Path, **seconds: float) -> None:
    cells = [(name.replace("_", "/"), s) for name, s in seconds.items()]
    results = [CellResult(id=i, verdict=Verdict.PASSED, seconds=s) for i, s in cells]
    assert History(path, "matrix/default.yaml").add(RunStamp("before", 1.0), results) == ""


@pytest.fixture
def four(project: Path) -> None:
    """Four cells that share an image: no other is there sooner."""
    text = "product: .\ndistros: [one]\nsuites:\n"
    text += "".join(f"  {suite}: {{run: 'true'}}\n" for suite in "abcd")
    (project / "matrix/default.yaml").write_text(text)


def in_turn(project: Path) -> list[str]:
    """The cells of the newest run, which were run one at a time."""
    journal = (project / ".distromatrix/runs/latest/journal.jsonl").read_text()
    events = [json.loads(line) for line in journal.splitlines()]
    return [event["result"]["id"] for event in events if event["type"] == "cell-finished"]


def test_a_run_remembers_what_its_cells_took(cli: Cli, project: Path, file: Path) -> None:
    assert cli("run").code == 1
    known = History(file, "matrix/default.yaml").durations()
    assert known.warning == ""
    assert set(known.cells) == {"one/good", "one/bad", "two/good", "two/bad"}
    assert cli("run", "--failed").code == 1
    known = History(file, "matrix/default.yaml").durations()
    assert {cell: len(seconds) for cell, seconds in known.cells.items() if len(seconds) > 1} == {
        "two/bad": 2
    }


@pytest.mark.usefixtures("four")
def test_the_longest_are_begun_first(cli: Cli, project: Path, file: Path) -> None:
    remember(file, one_d=600.0, one_b=300.0, one_c=100.0)
    said = cli("run", "--jobs", "1")
    assert "4 cells, one at a time, about 22 min, on Fake 1" in said.out
    # a is taken to be as long as most, and stands before b in the plan
    assert in_turn(project) == ["one/d", "one/a", "one/b", "one/c"]


def test_the_plan_says_how_long_it_will_take(cli: Cli, file: Path) -> None:
    assert "about" not in cli("plan").out
    assert json.loads(cli("plan", "--json").out)["expected"] is None
    remember(file, two_bad=600.0, one_good=300.0, two_good=100.0)
    said = cli("plan")
    assert said.out.endswith("0 left out\nabout 15 min, 2 at a time, by earlier runs\n")
    assert json.loads(cli("plan", "--json", "one").out)["expected"] == {
        "seconds": 600.0,
        "at_once": 2,
        "cells": {"one/good": 300.0, "one/bad": 600.0},
    }


@pytest.fixture(autouse=True)
def two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTROMATRIX_JOBS", "2")


def test_what_other_machines_plan_too_does_not_hang_on_this_ones_past(
    cli: Cli, project: Path, file: Path
) -> None:
    cli("plan", "--save", "../before.json")
    remember(file, two_bad=600.0)
    cli("plan", "--save", "../after.json")
    assert Path("../before.json").read_bytes() == Path("../after.json").read_bytes()


@pytest.mark.usefixtures("four")
def test_a_shard_begins_by_what_its_plan_says(cli: Cli, project: Path, file: Path) -> None:
    remember(file, one_a=600.0)
    remember(Path("../h.sqlite3"), one_c=10.0, one_d=90.0, one_b=60.0)
    cli("plan", "--save", "../plan.json", "--history", "../h.sqlite3")
    said = cli("plan", "--plan", "../plan.json")
    assert said.out.endswith("about 2 min, 2 at a time, by earlier runs\n")
    cli("run", "--plan", "../plan.json", "--jobs", "1")
    assert in_turn(project) == ["one/d", "one/a", "one/b", "one/c"]
    cli("plan", "--save", "../plan.json")  # which knows nothing
    said = cli("run", "--plan", "../plan.json", "--jobs", "1")
    assert "4 cells, one at a time, on Fake 1" in said.out
    assert in_turn(project) == ["one/a", "one/b", "one/c", "one/d"]


@pytest.mark.usefixtures("four")
def test_a_run_that_goes_on_begins_the_longest_first(cli: Cli, project: Path, file: Path) -> None:
    remember(file, one_d=600.0, one_b=300.0, one_c=900.0)
    cli("run", "--jobs", "1")
    latest = project / ".distromatrix/runs/latest"
    killed = latest.with_name("20990101-000000-abcd")  # as one that was killed would have left it
    killed.mkdir()
    shutil.copyfile(latest / "plan.json", killed / "plan.json")
    journal = (latest / "journal.jsonl").read_text().splitlines()
    kept = [line for line in journal if '"one/c"' in line or "run-started" in line]
    (killed / "journal.jsonl").write_text("\n".join(kept) + "\n")
    (killed / "snapshot.tar").write_bytes(b"\0" * 10240)
    held = {"version": 1, "warnings": [], "data": {}, "entries": []}
    (killed / "snapshot.json").write_text(json.dumps(held))
    latest.unlink()
    latest.symlink_to(killed.name)
    cli("run", "--resume", killed.name, "--jobs", "1")
    assert in_turn(project) == ["one/c", "one/d", "one/b", "one/a"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no database", r"the history is damaged; it is now h\.damaged, and a new one begins"),
        (None, r"a newer version of distromatrix wrote this history; it is left alone"),
    ],
)
def test_what_is_wrong_with_it_is_one_line_and_ends_nothing(
    cli: Cli, project: Path, file: Path, content: bytes | None, words: str
) -> None:
    file.parent.mkdir()
    if content is None:
        database = sqlite3.connect(file)
        database.execute("PRAGMA user_version = 99")
        database.close()
    else:
        file.write_bytes(content)
    said = cli("run", "one/good")
    assert said.code == 0
    assert len(re.findall(f"warning: .*{words}\n", said.out + said.err)) == 1
    assert ("history" in cli("plan", "--json").err) == (content is None)


def test_nothing_that_a_product_prints_is_in_it(
    cli: Cli, project: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t-of-mine")
    text = "product: .\ndistros: [one]\npass_env: [TOKEN]\nsuites:\n"
    text += "  leak: {run: 'echo printed $TOKEN; echo $TOKEN >&2; exit 3'}\n"
    (project / "matrix/default.yaml").write_text(text)
    assert cli("run").code == 1
    raw = file.read_bytes()
    assert b"one/leak" in raw
    assert b"s3cr3t" not in raw
    assert b"printed" not in raw


def test_the_fake_engine_leaves_none(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    cli("run")
    cli("plan")
    assert not (tmp_path / "share").exists()


# --- since when --------------------------------------------------------------------------------

FLAPPING = """\
product: .
distros: [one]
suites:
  unit:
    run: |
      case $(cat state) in red) is='<failure message="no"/>'; code=1 ;; *) is=; code=0 ;; esac
      echo "<testsuite><testcase classname='t' name='login'>$is</testcase>" >"$DISTROMATRIX_JUNIT"
      echo "<testcase classname='t' name='other'/></testsuite>" >>"$DISTROMATRIX_JUNIT"
      exit $code
"""


@pytest.fixture
def flapping(cli: Cli, project: Path, file: Path) -> Callable[[str], str]:
    """Runs whose case t::login is as they are told."""
    (project / "matrix/default.yaml").write_text(FLAPPING)

    def run(states: str) -> str:
        for state in states.split():
            (project / "state").write_text(state)
            said = cli("run")
            assert said.code == (state == "red"), said
        return said.out

    return run


def test_a_run_says_what_is_new_and_since_when_the_rest_fails(
    cli: Cli, flapping: Callable[[str], str]
) -> None:
    assert "history" not in flapping("red")  # nothing is known yet
    assert "  history failing for 2 runs, since 20" in flapping("red")
    assert "  history new: passed on 20" in flapping("green red")
    assert "  history flaky: failed in 5 of the last 7 runs" in flapping("green red red")[-2000:]
    assert "history flaky: failed in 4 of the last 6" not in cli("report").out


def test_the_history_is_shown(cli: Cli, flapping: Callable[[str], str]) -> None:
    assert cli("history").err == "no runs are remembered yet\n"
    flapping("green")
    assert cli("history").out == "nothing fails, nothing is flaky, nothing became slower\n"
    flapping("red red")
    title, *lines = cli("history").out.splitlines()
    assert title == "failing"
    assert sorted(lines[::2]) == ["  one/unit", "  one/unit::t::login"]
    since = r"      for 2 runs, since 20..-..-.. ..:.."
    assert all(re.fullmatch(since, line) for line in lines[1::2])
    for name in ("one/unit::t::login", "login", "*log*", "one::login"):
        said = cli("history", name).out
        assert said.startswith("one/unit::t::login\n  ✓✗✗  the last of 3 runs: 20"), name
        assert "  failing for 2 runs, since 20" in said
        assert "; last passed on 20" in said
    whole = cli("history", "one/unit").out
    assert ("t::login" in whole, "t::other" in whole) == (True, False)
    assert cli("history", "other").out.startswith("one/unit::t::other\n  ✓✓✓  ")
    flapping("green red green")
    assert cli("history").out.startswith("flaky\n  one/unit")
    assert "  one/unit::t::login\n      failed in 3 of the last 6 runs\n" in cli("history").out


def test_a_name_that_nothing_has_is_told(cli: Cli, flapping: Callable[[str], str]) -> None:
    flapping("green")
    said = cli("history", "nobody", "one/unit::nothing", "login")
    assert said.code == 3
    assert said.err == (
        "no cell and no case is remembered as 'nobody'\n"
        "no cell and no case is remembered as 'one/unit::nothing'\n"
    )
