"""--changed, on real repositories of git."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from changed_world import MATRIX, commit, left_out, write
from checkouts import git
from cli_world import DISTRO, Cli

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


# --- bad input ---------------------------------------------------------------------------------


# --- git runs nothing ----------------------------------------------------------------------------
