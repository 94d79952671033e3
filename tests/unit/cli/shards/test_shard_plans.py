"""`plan --save` and `plan --format github`: the shards of a plan as files and as jobs."""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path

import pytest
from cli_world import Cli, runs
from shards_world import GUESTS, remember, saved

from distromatrix.plan.file import read_plan_file


def test_the_jobs_for_github_are_one_line_of_json(cli: Cli) -> None:
    said = cli("plan", "--format", "github")
    assert said.out.count("\n") == 1
    include = json.loads(said.out)["include"]
    assert [list(job) for job in include] == [["name", "runner", "cells", "shard", "guests"]] * 4
    assert include[0] == {
        "name": "one/good",
        "runner": "ubuntu-latest",
        "cells": ["one/good"],
        "shard": "1/4",
        "guests": False,
    }


def test_the_jobs_can_be_an_output_of_a_step(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(project / "output"))
    (project / "output").write_text("before=1\n")
    said = cli("plan", "--format", "github", "--shards", "2", "--output", "jobs")
    assert (said.code, said.out) == (0, "")
    before, line = (project / "output").read_text().splitlines()
    assert before == "before=1"
    include = json.loads(line.removeprefix("jobs="))["include"]
    assert [job["shard"] for job in include] == ["1/2", "2/2"]


def test_jobs_beyond_what_github_takes_come_without_their_cells(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distromatrix.cli.plan.jobs._MOST_OUTPUT", 400)
    said = cli("plan", "--format", "github")
    assert all("cells" not in job for job in json.loads(said.out)["include"])
    assert "warning: the jobs are listed without `cells`" in said.err


def test_runners_are_those_of_the_matrix(cli: Cli, project: Path) -> None:
    matrix = project / "matrix/default.yaml"
    matrix.write_text(matrix.read_text() + "runners: {docker: [self-hosted, big]}\n")
    include = json.loads(cli("plan", "--format", "github").out)["include"]
    assert {tuple(job["runner"]) for job in include} == {("self-hosted", "big")}


def test_people_see_the_jobs_and_how_long_they_take(cli: Cli, project: Path) -> None:
    remember(project / "h.sqlite3", "one/good", 100, 90, 95)
    said = cli("plan", "--shards", "4", "--history", "h.sqlite3")
    lines = said.out.splitlines()
    assert lines[0].split() == ["one/good", "ubuntu-latest", "1", "min", "35", "s"]
    assert lines[-1] == "4 jobs, the longest 1 min 35 s, together 6 min 20 s"


def test_a_shard_for_programs_is_a_plan(cli: Cli) -> None:
    said = cli("plan", "--shard", "2/4", "--json")
    assert [c["id"] for c in json.loads(said.out)["cells"]] == ["one/bad"]
    saved(cli)
    again = cli("plan", "--plan", "plan.json", "--shard", "2/4", "--json")
    assert again.out == said.out
    assert "1 to run, 0 skipped, 0 left out" in cli("plan", "--shard", "2/4").out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "h.sqlite3: no earlier runs yet"),
        ("{", "h.sqlite3: the history is damaged; it is now h.damaged"),
        ("x/y", "h.sqlite3: remembers no cell of this plan"),
    ],
)
def test_durations_that_are_no_help_are_a_warning(
    cli: Cli, project: Path, content: str | None, words: str
) -> None:
    if content == "x/y":
        remember(project / "h.sqlite3", content, 5)
    elif content is not None:
        (project / "h.sqlite3").write_text(content)
    said = cli("plan", "--history", "h.sqlite3", "--save", "plan.json")
    assert said.code == 0
    assert words in said.err
    assert len(read_plan_file(Path("plan.json")).seconds) == 4


def test_durations_are_in_the_plan_file(cli: Cli, project: Path) -> None:
    remember(project / "h.sqlite3", "one/good", 100, 90, 95)
    seconds = saved(cli, "--history", "h.sqlite3")["seconds"]
    assert seconds == dict.fromkeys(["one/bad", "two/bad"], 95.0) | {
        "one/good": 95.0,
        "two/good": 95.0,
    }


def test_a_plan_that_cannot_be_written_is_told(cli: Cli, project: Path) -> None:
    said = cli("plan", "--save", "nowhere/plan.json")
    assert said.code == 2
    last = said.err.splitlines()[-1]
    assert last == "nowhere/plan.json: cannot be written: No such file or directory"


def test_an_output_that_cannot_be_written_is_told(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(project))
    said = cli("plan", "--format", "github", "--output", "jobs")
    assert said.code == 2
    assert said.err.splitlines()[-1].endswith("cannot be written: Is a directory")


def test_a_plan_for_machines_of_another_architecture_wants_their_runners(
    cli: Cli, project: Path
) -> None:
    (project / "matrix/default.yaml").write_text(GUESTS)
    with (project / "distros/one.yaml").open("a") as file:
        file.write("guest: {bootstrap: {kernel: linux}}\n")
    digest = saved(cli)["digest"]
    other = saved(cli, "--arch", "aarch64")
    assert other["digest"] != digest
    jobs = json.loads(cli("plan", "--plan", "plan.json", "--format", "github").out)["include"]
    assert {(job["name"], job["runner"]) for job in jobs} == {
        ("one/good", "ubuntu-24.04-arm"),
        ("two/good", "ubuntu-24.04-arm"),
    }
    if platform.machine() != "aarch64":
        said = cli("run", "--plan", "plan.json")
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert "plan.json: was made for aarch64, and this machine is " in said.err


def test_only_a_regular_file_becomes_a_plan_file(cli: Cli, project: Path) -> None:
    os.mkfifo(project / "pipe")
    said = cli("plan", "--save", "pipe")
    assert (said.code, said.err.splitlines()[-1]) == (2, "pipe: not a regular file")
    assert (project / "pipe").is_fifo()
    (project / "link").symlink_to("there.json")
    assert cli("plan", "--save", "link").code == 0
    assert (project / "link").is_symlink()
    assert cli("plan", "--plan", "there.json").code == 0


def test_a_step_is_told_which_folder_a_run_has(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would have to look in the checkout, where anything may lie."""
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    for name, said in (("folder", "GITHUB_OUTPUT"), ("a=b", "invalid output name")):
        refused = cli("run", "one/good", "--output", name)
        assert refused.code == 2
        assert said in refused.err
        assert not runs(project)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    assert cli("run", "one/good", "--output", "folder").code == 0
    (run,) = runs(project)
    assert (tmp_path / "output").read_text() == f"folder={run}\n"
    there = tmp_path / "two\nlines=x"
    shutil.copytree(project, there, ignore=shutil.ignore_patterns(".distromatrix"))
    assert cli("run", "-C", str(there), "one/good", "--output", "folder").code == 2
    assert (tmp_path / "output").read_text() == f"folder={run}\n"
