"""`plan --save`, `plan --format github` and `run --plan --shard`, as a user or a CI calls them."""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path

import pytest
from cli_world import Cli, runs

from distromatrix.execute.product.snapshot import take
from distromatrix.model import CellResult, Product, Verdict
from distromatrix.plan.file import read_plan_file
from distromatrix.record.history import History, RunStamp

GUESTS = """\
product: .
distros: [one, two]
suites:
  good: {run: echo fine}
  deep: {run: echo deep, needs: [kernel-modules]}
"""


def remember(path: Path, cell: str, *seconds: float) -> None:
    for number, took in enumerate(seconds):
        result = CellResult(id=cell, verdict=Verdict.PASSED, seconds=took)
        history = History(path, "matrix/default.yaml", given=True)
        assert history.add(RunStamp(f"r{number}", 1.0), [result]) == ""


def saved(cli: Cli, *args: str) -> dict[str, object]:
    said = cli("plan", "--save", "plan.json", *args)
    assert said.code == 0, said.err
    content: dict[str, object] = json.loads(Path("plan.json").read_text())
    return content


def results(project: Path) -> list[dict[str, object]]:
    return [json.loads((run / "results.json").read_text()) for run in sorted(runs(project))]


def test_shards_together_run_every_cell_once(cli: Cli, project: Path) -> None:
    plan = saved(cli)
    codes = [cli("run", "--plan", "plan.json", "--shard", f"{k}/3").code for k in (1, 2, 3)]
    assert sorted(codes) == [0, 0, 1]
    found = results(project)
    assert sorted(str(r["shard"]) for r in found) == ["1/3", "2/3", "3/3"]
    assert {r["digest"] for r in found} == {plan["digest"]}
    ids = [c["id"] for r in found for c in r["cells"]]  # type: ignore[attr-defined]
    assert sorted(ids) == ["one/bad", "one/good", "two/bad", "two/good"]


def test_a_shard_is_a_run_like_any_other_with_the_whole_plan_beside_it(
    cli: Cli, project: Path
) -> None:
    saved(cli)
    assert cli("run", "--plan", "plan.json", "--shard", "1/4").code == 0
    (run,) = runs(project)
    whole = read_plan_file(run / "whole.json")
    assert (str(whole.shard), len(whole.plan.cells)) == ("1/4", 4)
    assert [c["id"] for c in json.loads((run / "plan.json").read_text())["cells"]] == ["one/good"]
    (run / "results.json").unlink()
    assert cli("report").code == 0
    assert json.loads((run / "results.json").read_text())["shard"] == "1/4"


def test_without_a_shard_the_whole_plan_runs(cli: Cli, project: Path) -> None:
    saved(cli)
    said = cli("run", "--plan", "plan.json", "--json")
    answer = json.loads(said.out)
    assert (said.code, answer["shard"], len(answer["cells"])) == (1, "1/1", 4)


def test_a_run_that_is_no_shard_names_none(cli: Cli, project: Path) -> None:
    cli("run", "*/good")
    assert "shard" not in results(project)[0]


def test_another_machine_runs_the_same_plan_at_another_place(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = saved(cli)
    other = tmp_path / "elsewhere" / "checkout"
    shutil.copytree(project, other)
    monkeypatch.chdir(tmp_path)
    assert cli("plan", "-C", str(other), "--save", "again.json").code == 0
    assert json.loads((tmp_path / "again.json").read_text())["digest"] == plan["digest"]
    where = str(project / "plan.json")
    assert cli("run", "-C", str(other), "--plan", where, "--shard", "1/4").code == 0
    assert (results(other)[0]["digest"], runs(project)) == (plan["digest"], [])
    (run,) = runs(other)
    assert json.loads((run / "plan.json").read_text())["root"] == str(other)


def test_selectors_and_timeouts_of_the_plan_are_those_of_its_shards(
    cli: Cli, project: Path
) -> None:
    saved(cli, "one", "--timeout", "90s", "--repeat", "2", "--shuffle", "7")
    assert cli("run", "--plan", "plan.json", "--shard", "1/2").code == 0
    (answer,) = results(project)
    assert (answer["repeat"], answer["seed"]) == (2, 7)
    (run,) = runs(project)
    (cell,) = json.loads((run / "plan.json").read_text())["cells"]
    assert (cell["id"], cell["timeout"]) == ("one/good", 90.0)


def test_a_shard_that_was_cut_off_goes_on_as_that_shard(cli: Cli, project: Path) -> None:
    saved(cli)
    (project / "snapshots").mkdir()
    cli("run", "--plan", "plan.json", "--shard", "1/2")
    (run,) = runs(project)
    (run / "results.json").unlink()
    journal = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (run / "journal.jsonl").write_text(journal[0])
    take(Product(path=project / "snapshots"), run / "snapshot.tar")
    assert cli("run", "--resume", "latest").code in (0, 1)
    answer = json.loads((run / "results.json").read_text())
    assert answer["shard"] == "1/2"
    assert len(answer["cells"]) == 2


def test_a_shard_without_cells_has_nothing_to_do(cli: Cli, project: Path) -> None:
    saved(cli)
    said = cli("run", "--plan", "plan.json", "--shard", "7/9")
    assert (said.code, said.err) == (0, "shard 7/9 has no cells; nothing to do\n")
    assert not runs(project)


AS_MADE = "--plan cannot be combined with "


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("run --plan plan.json one", AS_MADE + "SELECTOR"),
        ("run --plan plan.json --exclude one", AS_MADE + "--exclude"),
        ("run --plan plan.json --failed", AS_MADE + "--failed"),
        ("run --plan plan.json --timeout 5s", AS_MADE + "--timeout"),
        ("run --plan plan.json --repeat 2", AS_MADE + "--repeat"),
        ("run --plan plan.json --shuffle 0", AS_MADE + "--shuffle"),
        (
            "run --plan plan.json --resume latest",
            "--resume cannot be combined with --plan",
        ),
        (
            "run --shard 1/2",
            "--shard requires --plan FILE (write one with `distromatrix plan --save FILE`)",
        ),
        ("run --plan plan.json --shard 0/3", "expected K/N, a shard from 1 to N"),
        ("run --plan plan.json --shard 4/3", "expected K/N, a shard from 1 to N"),
        ("run --plan plan.json --shard a/b", "expected K/N, a shard from 1 to N"),
        ("plan --shard 4/3", "expected K/N, a shard from 1 to N"),
        ("run --plan none.json", "none.json: cannot be read: No such file or directory"),
        ("run --plan matrix/default.yaml", "matrix/default.yaml: is not JSON, or is cut off"),
        ("plan --plan none.json", "none.json: cannot be read: No such file or directory"),
        ("plan --plan plan.json one", AS_MADE + "SELECTOR"),
        ("plan --plan plan.json --save other.json", AS_MADE + "--save"),
        ("plan --plan plan.json --arch aarch64", AS_MADE + "--arch"),
        ("plan --shards 257", "257 is not in the range"),
        ("plan --shards 0", "0 is not in the range"),
        ("plan --shards 2 --shard 1/2", "--shard cannot be combined with"),
        ("plan --format github --shard 1/2", "--shard cannot be combined with"),
        ("plan --shards 2 --json", "--shards cannot be combined with JSON output"),
        ("plan --json --format github", "--json cannot be combined with --format github"),
        ("plan --repeat 2", "--repeat requires --save FILE"),
        ("plan --output jobs", "--output requires --format github"),
        ("plan --format github --output jobs", "which is not set"),
        ("plan --format github --output a=b", "invalid output name 'a=b'"),
    ],
)
def test_mistakes_are_one_line_and_exit_2_and_nothing_starts(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, args: str, words: str
) -> None:
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    saved(cli)
    said = cli(*args.split())
    lines = [line for line in said.err.splitlines() if not line.startswith("warning: one is past")]
    lines = [line for line in lines if not line.startswith("warning: two is past")]
    assert (said.code, said.out, len(lines)) == (2, "", 1)
    assert words in lines[0]
    assert not runs(project)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("echo fine", "echo evil", "here plans: one/good has another `run`"),
        ("distros: [one, two]", "distros: [one]", "here plans: two/good is in one of them only"),
        ("product: .", "product: .\npass_env: [TOKEN]", "here plans: another `pass_env`"),
        ("product: .", "product: .\nenv: {A: b}", "here plans: one/good has another `env`"),
        (
            "  good: {run: echo fine}\n",
            "",
            "is not what default.yaml here plans: one/good is in one of them only",
        ),
    ],
)
def test_the_plan_of_another_state_of_the_project_is_refused(
    cli: Cli, project: Path, old: str, new: str, words: str
) -> None:
    saved(cli)
    matrix = project / "matrix/default.yaml"
    assert old in matrix.read_text()
    matrix.write_text(matrix.read_text().replace(old, new))
    said = cli("run", "--plan", "plan.json", "--shard", "1/2")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("plan.json: ")
    assert words in said.err
    assert "plan and run the same checkout" in said.err
    assert not runs(project)


def test_a_plan_whose_selectors_match_nothing_here_is_another_projects(
    cli: Cli, project: Path
) -> None:
    saved(cli, "*/good")
    matrix = project / "matrix/default.yaml"
    matrix.write_text(matrix.read_text().replace("good:", "fine:"))
    said = cli("run", "--plan", "plan.json")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "plan.json: is the plan of another project or state of it" in said.err


def test_a_plan_for_another_architecture_is_refused(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(cli)
    here = platform.machine()
    monkeypatch.setattr("platform.machine", lambda: "sparc")
    said = cli("run", "--plan", "plan.json")
    assert said.code == 2
    assert said.err == f"plan.json: was made for {here}, and this machine is sparc\n"


def test_a_plan_file_names_no_matrix_outside_its_project(cli: Cli, project: Path) -> None:
    content = saved(cli)
    content["matrix"] = "../../matrix/default.yaml"
    Path("plan.json").write_text(json.dumps(content))
    said = cli("run", "--plan", "plan.json")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "digest mismatch" in said.err


def test_the_matrix_file_is_the_plans(cli: Cli, project: Path) -> None:
    (project / "matrix/default.yaml").rename(project / "matrix/ci.yaml")
    saved(cli, "-m", "matrix/ci.yaml")
    assert cli("run", "--plan", "plan.json", "--shard", "1/4").code == 0


def test_guests_are_taken_to_be_there_and_an_error_where_they_are_not(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "matrix/default.yaml").write_text(GUESTS)
    with (project / "distros/one.yaml").open("a") as file:
        file.write("guest: {bootstrap: {kernel: linux}}\n")
    monkeypatch.setattr(
        "distromatrix.engines.guest.available.guests_here",
        lambda _: {"qemu": "QEMU is not installed", "vagrant": "no"},
    )
    (alone,) = [c for c in json.loads(cli("plan", "one/deep", "--json").out)["cells"]]
    assert alone["engine"] is None
    saved(cli)
    jobs = json.loads(cli("plan", "--plan", "plan.json", "--format", "github").out)["include"]
    assert {job["name"]: job["guests"] for job in jobs} == {
        "one/good": False,
        "one/deep": True,
        "two/good": False,
    }
    shard = next(job["shard"] for job in jobs if job["name"] == "one/deep")
    said = cli("run", "--plan", "plan.json", "--shard", shard, "--json")
    (cell,) = json.loads(said.out)["cells"]
    assert (said.code, cell["verdict"]) == (69, "error")
    assert cell["reason"] == "planned for a guest of qemu, but QEMU is not installed"
    (run,) = runs(project)
    guests = json.loads((run / "plan.json").read_text())["guests"]
    assert guests == {"qemu": "QEMU is not installed", "vagrant": "no"}


def test_the_engine_of_containers_is_that_of_the_machine_that_runs(cli: Cli, project: Path) -> None:
    saved(cli, "--engine", "docker", "*/good")
    assert cli("run", "--plan", "plan.json", "--engine", "podman").code == 0
    (run,) = runs(project)
    plan = json.loads((run / "plan.json").read_text())
    assert {c["engine"] for c in plan["cells"]} == {"podman"}


def test_what_this_engine_cannot_give_is_an_error_that_says_so(cli: Cli, project: Path) -> None:
    matrix = project / "matrix/default.yaml"
    matrix.write_text(
        "product: .\ndistros: [one]\nsuites:\n"
        "  net: {run: 'true', needs: [sysctl], privileges: [sysctl]}\n"
    )
    saved(cli, "--engine", "docker")
    said = cli("run", "--plan", "plan.json", "--engine", "podman", "--json")
    (cell,) = json.loads(said.out)["cells"]
    assert (said.code, cell["verdict"]) == (69, "error")
    assert "planned for a container, but here it asks for the privilege sysctl" in cell["reason"]


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
