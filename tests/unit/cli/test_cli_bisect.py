"""`distromatrix bisect`: commits of a product of the tests' own, on the fake engine, whose cells
are shell scripts run here."""

import subprocess
from pathlib import Path

import pytest
from cli_world import Cli

MATRIX = """\
product: .
distros: [one]
suites:
  unit: {run: sh ./t}
  listed:
    cases: true
    run: |
      cat "$DISTROMATRIX_CASES" >>asked
      cp report.xml "$DISTROMATRIX_JUNIT"
      test "$(cat asked)" = t::login && ! grep -q failure report.xml
"""
GOOD = "<testsuite><testcase classname='t' name='login'/></testsuite>"
BAD = "<testsuite><testcase classname='t' name='login'><failure/></testcase></testsuite>"
NONE = "<testsuite><testcase classname='t' name='other'/></testsuite>"


class History:
    """Commits, each by a word that says what it is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "-q")
        (root / "matrix/default.yaml").write_text(MATRIX)

    def git(self, *args: str) -> str:
        who = ("-c", "user.name=N", "-c", "user.email=e@example.org")
        done = subprocess.run(
            ["git", "-C", str(self.root), *who, *args], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, *words: str) -> list[str]:
        """Of each commit its id: `good` and `bad` for both suites; `broken`: the suite cannot be
        told; `absent`: the case is not there."""
        made = []
        for word in words:
            status = {"good": "0", "bad": "3", "broken": "77"}.get(word, "0")
            text = f"exit {status}" if word != "broken" else "kill -9 $PPID $$"
            (self.root / "t").write_text(f"# {len(made)}\n{text}\n")
            report = {"good": GOOD, "bad": BAD}.get(word, NONE)
            (self.root / "report.xml").write_text(f"<!-- {len(made)} -->{report}")
            self.git("add", "t", "report.xml")
            self.git("commit", "-qm", f"it is {word} \x1b[31m")
            made.append(self.git("rev-parse", "HEAD"))
        return made


@pytest.fixture
def history(project: Path) -> History:
    return History(project)


def test_the_first_bad_commit_is_found_and_its_log_shown(cli: Cli, history: History) -> None:
    made = history.commit(*["good"] * 6, *["bad"] * 5)
    history.git("tag", "v1", made[0])
    (history.root / "t").write_text("exit 0\n")  # uncommitted: nobody's
    said = cli("bisect", "one/unit", "--good", "v1")
    assert said.code == 0, said
    first, commit, bad, good = said.out.splitlines()
    assert first == "the first bad commit:"
    assert commit.split()[0] == made[6]
    assert commit.endswith(": it is bad")
    assert "\x1b" not in said.out + said.err
    assert bad.startswith("bad     exit status 3: ")
    assert Path(bad.rpartition(": ")[2]).is_file()
    assert good.startswith(f"good    {made[5][:12]}: ")
    untried, *steps = said.err.splitlines()
    assert untried == "not in what is tried: changes that are not committed"
    assert [line.split("] ")[1].split()[1] for line in steps[:2]] == ["bad", "good"]
    assert len(steps) <= 6
    assert (history.root / "t").read_text() == "exit 0\n"
    assert history.git("rev-parse", "HEAD") == made[-1]
    assert history.git("for-each-ref", "--format=%(refname)", "refs/bisect") == ""
    assert not list(history.root.glob(".distromatrix/bisects/*/product"))
    assert not (history.root / ".distromatrix/runs").exists()


def test_a_case_is_asked_for_alone_and_where_it_is_not_the_commit_is_skipped(
    cli: Cli, history: History
) -> None:
    made = history.commit("good", "good", "absent", "bad", "bad")
    said = cli("bisect", "one/listed::t::login", "--good", made[0])
    assert said.code == 69, said
    assert "skip" in said.err
    assert "(no case t::login ran)" in said.err
    assert said.out.startswith("the first bad commit is one of these")
    assert [line.split()[0] for line in said.out.splitlines()[1:3]] == made[2:4]
    done = cli("bisect", "one/listed::login", "--good", made[0], "--bad", made[3])
    assert done.code == 69
    assert "no case login ran" in done.err


def test_the_last_bisect_stays_and_those_before_go(cli: Cli, history: History) -> None:
    made = history.commit("good", "bad")
    for _ in range(2):
        assert cli("bisect", "one/unit", "--good", made[0]).code == 0
    (kept,) = (history.root / ".distromatrix/bisects").iterdir()
    assert (kept / "steps").is_dir()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("one/unit", "--good", "HEAD~1"), "fails, too (exit status 3): nothing to search"),
        (("one/unit", "--good", "HEAD~3", "--bad", "HEAD~2"), "passes: nothing to search"),
        (("one/unit", "--good", "nowhere"), "nowhere: no such commit in "),
        (("one/unit", "--good", "--output=x"), "--output=x: no such commit in "),
        (("one/unit", "--good", "HEAD"), "--bad HEAD has no commit that --good HEAD does not"),
        (("one", "--good", "HEAD~3"), "bisect needs exactly one cell; these match: one/unit, "),
    ],
)
def test_what_cannot_be_searched_is_told_in_a_line(
    cli: Cli, history: History, args: tuple[str, ...], words: str
) -> None:
    history.commit("good", "good", "bad", "bad")
    said = cli("bisect", *args)
    assert said.code == 2, said
    assert words in said.err.splitlines()[-1]
    assert not list(history.root.glob(".distromatrix/bisects/*/product"))


def test_submodules_are_said_to_be_absent(cli: Cli, history: History) -> None:
    made = history.commit("good")
    (history.root / ".gitmodules").write_text('[submodule "s"]\n path = s\n url = ext::false\n')
    history.git("add", ".gitmodules")
    history.git("update-index", "--add", "--cacheinfo", f"160000,{made[0]},s")
    history.commit("bad")
    said = cli("bisect", "one/unit", "--good", made[0])
    assert said.code == 0, said
    first = said.err.splitlines()[0]
    assert first == "not in what is tried: submodules (their folders are empty)"


def test_a_product_without_git_has_no_commits(cli: Cli, project: Path) -> None:
    (project / "matrix/default.yaml").write_text(MATRIX)
    said = cli("bisect", "one/unit", "--good", "HEAD")
    assert said.code == 2
    assert "is no git work tree: there are no commits to search" in said.err


def test_a_checkout_that_has_git_run_something_runs_nothing(cli: Cli, history: History) -> None:
    made = history.commit("good", "bad")
    ran = history.root / "ran"
    for name in ("post-checkout", "post-index-change"):
        hook = history.root / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
        hook.chmod(0o755)
    history.git("config", "core.fsmonitor", f"touch {ran}")
    history.git("config", "filter.x.smudge", f"touch {ran}; cat")
    (history.root / ".gitattributes").write_text("* filter=x\n")
    history.git("-c", "filter.x.smudge=", "-c", "core.fsmonitor=", "add", ".gitattributes")
    ran.unlink(missing_ok=True)
    assert cli("bisect", "one/unit", "--good", made[0]).code == 0
    assert not ran.exists()
