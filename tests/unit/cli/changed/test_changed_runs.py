"""What a run of what has changed runs and tells, and where there can be none."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest
from changed_world import MATRIX, NOTHING, commit, left_out, refused, write
from checkouts import git
from cli_world import Cli, runs


def test_a_run_is_of_what_is_touched(repo: Path, cli: Cli) -> None:
    write(repo, "docs/a")
    said = cli("run", "--changed")
    assert said.code == 0
    assert "--changed: 1 of 3 suites read nothing that changed since `main` (" in said.err
    (folder,) = runs(repo)
    results = json.loads((folder / "results.json").read_text())
    assert {cell["id"] for cell in results["cells"]} == {"one/doc", "one/all"}
    plan = json.loads((folder / "plan.json").read_text())
    (left,) = plan["excluded"]
    assert left["id"] == "one/src"
    assert left["reason"].startswith("nothing that it reads changed since `main` (")


def test_what_follows_it_is_a_selector(repo: Path, cli: Cli) -> None:
    write(repo, "docs/a")
    assert left_out(cli, "--changed", "one/doc") == {"src", "all"}
    assert left_out(cli, "one/doc", "one/src", "--changed") == {"src", "all"}
    assert "no cell matches --changed" in cli("plan", "--", "--changed").err


def test_nothing_to_run_is_0_and_told(repo: Path, cli: Cli) -> None:
    commit(repo)
    only = ("--exclude", "*/all")
    for args in (("run",), ("run", "--json"), ("run", "--failed"), ("run", "one/src")):
        said = cli(*args, "--changed", *only)
        assert (said.code, said.out) == (0, "")
        assert said.err.endswith(NOTHING)
    assert runs(repo) == []
    said = cli("plan", "--changed", *only)
    assert said.code == 0
    assert said.out.endswith("0 to run, 0 skipped, 3 left out\n")
    assert said.err.endswith(NOTHING)
    assert cli("plan", "--changed", *only, "--shards", "3").out == "0 jobs: nothing to run\n"
    said = cli("run", "--changed", "*/nope")
    assert (said.code, "no cell matches" in said.err) == (3, True)


def test_a_plan_file_keeps_what_it_left_out(repo: Path, cli: Cli, tmp_path: Path) -> None:
    file = str(tmp_path / "plan.json")
    commit(repo, "src/a")
    said = cli("plan", "--changed", "--save", file, "--format", "github")
    assert [job["cells"] for job in json.loads(said.out)["include"]] == [["one/src"], ["one/all"]]
    git(repo, "update-ref", "-d", "refs/heads/main")  # a machine that has only this commit
    for shard in ("1/2", "2/2"):
        said = cli("run", "--plan", file, "--shard", shard)
        assert said.code == 0, said.out
    folders = map(str, runs(repo))
    merged = cli("report", "merge", *folders, "--plan", file, "--json")
    assert merged.code == 0
    assert [c["id"] for c in json.loads(merged.out)["cells"]] == ["one/src", "one/all"]


def test_a_plan_of_nothing_is_merged_to_a_green_answer(
    repo: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, summary = str(tmp_path / "plan.json"), tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    commit(repo)
    said = cli("plan", "--changed", "--exclude=*/all", "--save", file, "--format", "github")
    assert (said.code, json.loads(said.out)) == (0, {"include": []})
    said = cli("run", "--plan", file, "--shard", "1/1")
    assert (said.code, said.err) == (0, "shard 1/1 has no cells; nothing to do\n")
    said = cli("report", "merge", "--plan", file, "--into", str(tmp_path / "into"), "--github")
    assert said.code == 0
    assert json.loads((tmp_path / "into/results.json").read_text())["verdict"] == "passed"
    assert "nothing was run" in summary.read_text()


@pytest.mark.parametrize("given", [("--resume", "latest"), ("--plan", "p.json")])
def test_a_plan_that_is_stored_cannot_be_changed(
    repo: Path, cli: Cli, given: tuple[str, str]
) -> None:
    for changed in ("--changed", "--changed=main"):
        said = cli("run", *given, changed)
        assert said.code == 2
        assert f"{given[0]} cannot be combined with --changed" in said.err


@pytest.mark.parametrize("command", ["run", "plan"])
def test_outside_git_it_is_refused_in_a_line(project: Path, cli: Cli, command: str) -> None:
    assert refused(cli, command, "--changed").startswith(
        f"--changed: {project} is in no git repository: run without --changed"
    )


def test_without_git_it_is_refused_in_a_line(
    repo: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repo))
    assert "git, which knows what changed, is not installed" in refused(cli, "plan", "--changed")


@pytest.mark.parametrize(
    "ref", ["nope", "-x", "--since=yesterday", "main..topic", "\x1b[31m", "@{upstream}"]
)
def test_a_ref_that_is_not_there_is_refused_in_a_line(repo: Path, cli: Cli, ref: str) -> None:
    said = refused(cli, "run", f"--changed={ref}")
    assert said.startswith("--changed: git knows no commit `")
    assert "a REF is a branch, tag or commit that is here: --changed=REF" in said
    assert said.rstrip("\n").isprintable()


def test_a_repository_without_a_default_branch_wants_a_ref(repo: Path, cli: Cli) -> None:
    git(repo, "branch", "-q", "-m", "main", "trunk")
    assert "knows no default branch (origin/HEAD, main, master)" in refused(
        cli, "plan", "--changed"
    )
    commit(repo, "src/a")
    assert left_out(cli, "--changed=trunk") == {"doc"}


def test_a_branch_with_another_beginning_is_refused(repo: Path, cli: Cli) -> None:
    git(repo, "checkout", "-q", "--orphan", "other")
    commit(repo, "src/a")
    assert "HEAD and `main` have no commit in common here: name another" in refused(
        cli, "plan", "--changed"
    )


def test_a_repository_without_a_commit_is_refused(project: Path, cli: Cli) -> None:
    git(project, "init", "-q")
    assert "has no commit yet: run without --changed" in refused(cli, "plan", "--changed")


@pytest.mark.parametrize("has_main", [False, True])
def test_a_shallow_checkout_says_what_to_set(
    repo: Path, cli: Cli, tmp_path: Path, has_main: bool
) -> None:
    commit(repo, "src/a")
    git(repo, "checkout", "-q", "main")
    commit(repo, "LICENSE")
    git(repo, "checkout", "-q", "topic")
    shallow = tmp_path / "shallow"
    more = ("--no-single-branch",) if has_main else ()
    git(tmp_path, "clone", "-q", "--depth=1", *more, repo.as_uri(), str(shallow))
    if not has_main:
        git(shallow, "remote", "remove", "origin")
    said = refused(
        cli,
        "plan",
        "-C",
        str(shallow),
        "--changed=main" if not has_main else "--changed=origin/main",
        "--format",
        "github",
    )
    assert "the checkout is shallow: set `fetch-depth: 0`, or fetch all of it (--unshallow)" in said


def test_a_product_of_another_repository_is_refused(repo: Path, cli: Cli, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    commit(other, "a")
    (repo / "matrix/default.yaml").write_text(MATRIX.replace("product: .", f"product: {other}"))
    said = cli("plan", "--changed")
    assert (said.code, "is not in the matrix's git repository" in said.err) == (2, True)


def test_reads_names_files(repo: Path, cli: Cli) -> None:
    (repo / "matrix/default.yaml").write_text(
        MATRIX.replace("src/**", "src/").replace('"*.md"', "../x")
    )
    said = cli("plan")
    assert said.code == 2
    first, second = said.err.splitlines()
    assert first.startswith("matrix/default.yaml:4:")
    assert "`src/` names a folder, and no files (write `src/**`)" in first
    assert "leads out of the product's folder" in second


def test_no_filter_of_a_repository_runs(repo: Path, cli: Cli, tmp_path: Path) -> None:
    ran, command = tmp_path / "ran", tmp_path / "command"
    command.write_text(f"#!/bin/sh\ntouch {ran}\nexec cat\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (repo / ".gitattributes").write_text("* filter=f diff=f\n")
    commit(repo)
    git(repo, "branch", "-q", "-f", "main")
    commit(repo)
    for key in ("clean", "smudge", "process"):
        git(repo, "config", f"filter.f.{key}", str(command))
    git(repo, "config", "filter.f.required", "true")
    for key in ("diff.f.command", "diff.f.textconv", "diff.external", "core.fsmonitor"):
        git(repo, "config", key, str(command))
    os.utime(repo / "src/a", (1, 1))
    write(repo, "docs/a", text="some\n")
    done = subprocess.run(["git", "diff", "--raw"], cwd=repo, check=False, capture_output=True)
    assert ran.exists(), done  # so it would
    ran.unlink()
    os.utime(repo / "src/a", (time.time(),) * 2)
    assert left_out(cli) == {"src"}
    assert not ran.exists()
    git(repo, "config", "filter.a=b.clean", str(command))
    assert "`filter.a=b`: rename or remove it" in refused(cli, "plan", "--changed")
