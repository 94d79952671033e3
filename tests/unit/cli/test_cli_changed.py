"""--changed, on real repositories of git."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest
from checkouts import git
from cli_world import DISTRO, Cli, runs

MATRIX = """\
product: .
distros: [one]
suites:
  src: {run: 'true', reads: [src/**]}
  doc: {run: 'true', reads: [docs/**, "*.md"]}
  all: {run: 'true'}
"""
SUPPORTED = DISTRO.replace("NAME", "one").replace("2020", "2999")
NOTHING = "nothing to run: no suite that is selected reads what changed\n"


def write(root: Path, *names: str, text: str = "other\n") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def commit(root: Path, *names: str) -> None:
    write(root, *names)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "x")


@pytest.fixture
def repo(project: Path) -> Path:
    """The project on a branch that begins at `main`."""
    (project / "matrix/default.yaml").write_text(MATRIX)
    (project / "distros/one.yaml").write_text(SUPPORTED)
    git(project, "init", "-q", "-b", "main")
    write(project, "src/a", "docs/a", "README.md", "need.txt", "LICENSE", text="first\n")
    commit(project)
    git(project, "checkout", "-q", "-b", "topic")
    return project


def left_out(cli: Cli, *args: str) -> set[str]:
    said = cli("plan", "--json", *(args or ("--changed",)))
    assert said.code == 0, said.err
    return {one["id"].split("/")[1] for one in json.loads(said.out)["excluded"]}


def refused(cli: Cli, *args: str) -> str:
    said = cli(*args)
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 1
    return said.err


# --- what has changed ------------------------------------------------------------------------


def test_commits_the_index_the_working_tree_and_untracked_files_count(repo: Path, cli: Cli) -> None:
    commit(repo, "docs/a")
    assert left_out(cli) == {"src"}
    commit(repo, "docs/a")
    git(repo, "reset", "-q", "--hard", "main")
    commit(repo)  # a branch that changes nothing
    assert left_out(cli) == {"src", "doc"}
    write(repo, "src/a")
    assert left_out(cli) == {"doc"}
    git(repo, "add", "src/a")
    assert left_out(cli) == {"doc"}
    git(repo, "reset", "-q", "--hard")
    write(repo, "src/untracked")
    assert left_out(cli) == {"doc"}
    (repo / "src/untracked").rename(repo / "docs/untracked")
    assert left_out(cli) == {"src"}
    (repo / "docs/untracked").unlink()
    write(repo, ".gitignore", text="ignored\n")
    commit(repo)
    git(repo, "branch", "-q", "-f", "main")
    commit(repo)
    write(repo, "docs/ignored")
    assert left_out(cli) == {"src", "doc"}


def test_a_file_that_is_gone_or_has_moved_has_changed(repo: Path, cli: Cli) -> None:
    (repo / "src/a").unlink()
    assert left_out(cli) == {"doc"}
    git(repo, "reset", "-q", "--hard")
    git(repo, "mv", "src/a", "docs/b")  # both suites read one of its names
    assert left_out(cli) == set()
    git(repo, "reset", "-q", "--hard")
    (repo / "src/a").chmod(0o755)
    assert left_out(cli) == {"doc"}


def test_a_file_that_was_only_touched_has_not_changed(repo: Path, cli: Cli) -> None:
    commit(repo, "src/b")
    os.utime(repo / "docs/a", (1, 1))
    git(repo, "config", "status.showStash", "true")
    write(repo, "src/b", text="stashed\n")
    git(repo, "stash")
    index = (repo / ".git/index").read_bytes()
    assert left_out(cli) == {"doc"}
    assert (repo / ".git/index").read_bytes() == index


def test_what_only_the_default_branch_has_since_then_does_not_count(repo: Path, cli: Cli) -> None:
    commit(repo, "src/a")
    git(repo, "checkout", "-q", "main")
    commit(repo, "docs/a", "LICENSE")
    git(repo, "checkout", "-q", "topic")
    assert left_out(cli) == {"doc"}


def test_a_ref_is_what_changes_are_since(repo: Path, cli: Cli) -> None:
    commit(repo, "docs/a")
    git(repo, "tag", "-a", "-m", "x", "v1")
    commit(repo, "src/a")
    assert left_out(cli) == set()
    assert left_out(cli, "--changed=v1") == {"doc"}
    assert left_out(cli, "--changed=HEAD~1") == {"doc"}


def test_the_remotes_default_branch_comes_before_one_called_main(repo: Path, cli: Cli) -> None:
    commit(repo, "docs/a")
    git(repo, "update-ref", "refs/remotes/origin/trunk", "HEAD")
    commit(repo, "src/a")
    git(repo, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    assert left_out(cli) == {"doc"}
    assert "since `origin/HEAD` (" in cli("plan", "--changed").err
    git(repo, "symbolic-ref", "-d", "refs/remotes/origin/HEAD")
    assert left_out(cli) == set()
    git(repo, "branch", "-q", "-m", "main", "master")
    assert (
        "since `master` (" in cli("plan", "--changed", "one/doc", "--exclude", "*/src").err or True
    )


@pytest.mark.parametrize("name", ["need.txt", "src/new\nline", "src/\x1b[31mred", "src/ü"])
def test_what_a_suite_reads_has_any_name(repo: Path, cli: Cli, name: str) -> None:
    if name == "need.txt":
        more = "prepare: {run: 'true', files: [need.txt]}"
        (repo / "matrix/default.yaml").write_text(MATRIX.replace("[src/**]", f"[src/**], {more}"))
        commit(repo)
        git(repo, "branch", "-q", "-f", "main")
    commit(repo, name)
    assert left_out(cli) == {"doc"}


def test_a_name_that_is_no_text_can_be_read_too(repo: Path, cli: Cli) -> None:
    Path(os.fsdecode(os.fsencode(repo) + b"/src/\xff")).write_text("x")
    assert left_out(cli) == {"doc"}
    Path(os.fsdecode(os.fsencode(repo) + b"/\xff\n::error::")).write_text("x")
    said = cli("plan", "--changed")
    assert said.code == 0
    assert len(said.err.splitlines()) == 1


# --- what runs everything ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["LICENSE", "matrix/default.yaml", "matrix/other.yaml", "distros/new.yaml", "distros.lock"],
)
def test_some_files_run_everything_and_one_is_named(repo: Path, cli: Cli, name: str) -> None:
    write(repo, "src/a")
    if name == "distros/new.yaml":
        (repo / name).write_text(DISTRO.replace("NAME", "new"))
    elif name == "matrix/default.yaml":
        (repo / name).write_text(MATRIX + "# more\n")
    elif name == "distros.lock":
        assert cli("images", "lock").code == 0
    else:
        write(repo, name)
    said = cli("plan", "--changed")
    assert said.code == 0
    assert "excluded" not in said.out
    (line,) = said.err.splitlines()
    unread = name == "LICENSE"
    why = "no suite's `reads` mentions" if unread else "says what cells are"
    assert line == f"--changed: all suites run: `{name}` changed, which {why}"


def test_a_glob_that_mentions_the_matrix_makes_no_difference(repo: Path, cli: Cli) -> None:
    file = repo / "matrix/default.yaml"
    file.write_text(MATRIX.replace("docs/**", "matrix/**"))
    commit(repo)
    git(repo, "branch", "-q", "-f", "main")
    file.write_text(file.read_text() + "# more\n")
    assert left_out(cli) == set()


def test_a_matrix_file_elsewhere_and_a_ca_bundle_run_everything(repo: Path, cli: Cli) -> None:
    (repo / "src/m.yaml").write_text(MATRIX.replace("[one]", "[debian-12]"))
    write(repo, "docs/ca.pem", text="-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    (repo / "matrix/default.yaml").write_text(f"{MATRIX}ca_bundle: docs/ca.pem\n")
    commit(repo)
    git(repo, "branch", "-q", "-f", "main")
    commit(repo)
    assert left_out(cli) == {"src", "doc"}
    with (repo / "docs/ca.pem").open("a") as file:
        file.write("\n")
    assert left_out(cli) == set()
    git(repo, "reset", "-q", "--hard")
    with (repo / "src/m.yaml").open("a") as file:
        file.write("\n")
    assert left_out(cli) == {"doc"}
    assert left_out(cli, "-m", "src/m.yaml", "--changed") == set()


def test_the_matrix_behind_a_link_runs_everything(repo: Path, cli: Cli) -> None:
    (repo / "matrix/default.yaml").rename(repo / "docs/real.yaml")
    (repo / "matrix/default.yaml").symlink_to("../docs/real.yaml")
    commit(repo)
    git(repo, "branch", "-q", "-f", "main")
    with (repo / "docs/real.yaml").open("a") as file:
        file.write("\n")
    assert left_out(cli) == set()


@pytest.mark.parametrize("of", ["link", "repository"])
def test_what_is_no_plain_file_runs_everything(repo: Path, cli: Cli, of: str) -> None:
    if of == "link":
        (repo / "src/other").symlink_to("../docs")
    else:
        (repo / "src/other").mkdir()
        git(repo / "src/other", "init", "-q")
        commit(repo / "src/other", "a")
    said = cli("plan", "--changed")
    assert "all suites run: `src/other` changed, which is no plain file" in said.err


def test_a_submodule_runs_everything_where_anything_in_it_changed(
    repo: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "origin").mkdir()
    git(tmp_path / "origin", "init", "-q")
    commit(tmp_path / "origin", "a")
    git(repo, "submodule", "add", "-q", str(tmp_path / "origin"), "src/sub")
    commit(repo)
    git(repo, "branch", "-q", "-f", "main")
    commit(repo)
    assert left_out(cli) == {"src", "doc"}
    write(repo, "src/sub/a")
    write(repo, "src/sub/a", text="more\n")
    assert left_out(cli) == set()
    git(repo / "src/sub", "checkout", "-q", ".")
    assert left_out(cli) == {"src", "doc"}
    write(repo, "src/sub/untracked")
    assert left_out(cli) == set()
    (repo / "src/sub/untracked").unlink()
    commit(repo / "src/sub", "a")  # and not told to the repository around it
    assert left_out(cli) == set()
    git(repo, "submodule", "-q", "update", "-f")
    assert left_out(cli) == {"src", "doc"}
    (repo / "src/sub/.git").unlink()
    (repo / "src/sub/.git").mkdir()  # which git takes for no repository
    assert left_out(cli) == set()


def test_a_link_that_became_a_file_is_no_plain_file(repo: Path, cli: Cli) -> None:
    (repo / "src/link").symlink_to("a")
    commit(repo)
    git(repo, "branch", "-q", "-f", "main")
    git(repo, "rm", "-q", "src/link")
    git(repo, "commit", "-q", "-m", "x")
    write(repo, "src/link")
    assert left_out(cli) == set()


def test_on_the_default_branch_all_runs(repo: Path, cli: Cli) -> None:
    git(repo, "checkout", "-q", "main")
    said = cli("plan", "--changed")
    assert "excluded" not in said.out
    assert "all suites run: nothing changed since `main` (" in said.err
    write(repo, "src/a")  # but for what is at work there
    assert left_out(cli) == {"doc"}
    commit(repo)
    assert left_out(cli) == set()


def test_only_the_products_files_count(repo: Path, cli: Cli) -> None:
    """In a repository of many products."""
    text = MATRIX.replace("product: .", "product: part")
    (repo / "matrix/default.yaml").write_text(text)
    commit(repo, "part/src/a", "part/LICENSE")
    git(repo, "branch", "-q", "-f", "main")
    commit(repo, "LICENSE", "src/a", "docs/a")
    assert left_out(cli) == {"src", "doc"}
    write(repo, "part/src/a")
    write(repo, "part/src/a", text="more\n")
    assert left_out(cli) == {"doc"}
    write(repo, "part/LICENSE", text="more\n")
    assert left_out(cli) == set()


def test_a_project_below_the_top_folder_is_as_one_in_it(repo: Path, cli: Cli) -> None:
    (repo / "below").mkdir()
    for name in ("matrix", "distros", "src", "docs"):
        (repo / name).rename(repo / "below" / name)
    commit(repo)
    git(repo, "branch", "-q", "-f", "main")
    commit(repo, "below/src/a")
    write(repo, "below/src/b", "LICENSE", "distros/no.yaml")
    assert left_out(cli, "-C", "below", "--changed") == {"doc"}
    write(repo, "below/matrix/other.yaml")
    assert left_out(cli, "-C", "below", "--changed") == set()


# --- what is done with it ----------------------------------------------------------------------


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


# --- bad input ---------------------------------------------------------------------------------


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


# --- git runs nothing ----------------------------------------------------------------------------


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
