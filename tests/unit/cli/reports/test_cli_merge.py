"""`report merge` and `report --github`, as a job calls them, on shards of the fake engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_world import Cli, runs

DISTRO_MUSL = """\
title: Another
family: alpine
package_manager: none
libc: musl
image: [{pull: docker.io/library/two:1}]
"""
MATRIX = """\
product: .
distros: [one, two]
pass_env: [TOKEN]
suites:
  good: {run: echo fine}
  cases:
    run: |
      test $DISTROMATRIX_DISTRO = one ||
        broken="<failure message='no $TOKEN here'>t.py:2: x</failure>"
      echo "<testsuite><testcase classname='t' name='test_time'>$broken</testcase></testsuite>" \\
        > $DISTROMATRIX_JUNIT
"""


@pytest.fixture
def shards(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with a plan, and both of its shards run."""
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    (project / "matrix/default.yaml").write_text(MATRIX)
    (project / "distros/two.yaml").write_text(DISTRO_MUSL)
    (project / "t.py").write_text("def test_time():\n    assert 0\n")
    monkeypatch.setenv("TOKEN", "s3cr3t-value")
    assert cli("plan", "--save", "plan.json").code == 0
    assert sorted(cli("run", "--plan", "plan.json", "--shard", f"{n}/2").code for n in (1, 2)) == [
        0,
        1,
    ]
    return project


def annotations(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith(("::error", "::notice"))]


def test_the_shards_are_one_answer(cli: Cli, shards: Path) -> None:
    said = cli("report", "merge", ".distromatrix/runs", "--history", "h.sqlite3")
    assert said.code == 1
    assert "t::test_time" in said.out
    assert "fails only on two (musl)" in said.out
    assert "4 cells" in said.out
    past = json.loads(cli("history", "--history", "h.sqlite3", "--json").out)
    assert {(one["cell"], one["case"], one["failing_runs"]) for one in past} == {
        *((cell, None, 0) for cell in ("one/good", "two/good", "one/cases")),
        ("two/cases", None, 1),
        ("two/cases", "t::test_time", 1),
    }
    assert "failing for" not in said.out
    second = cli("report", "merge", ".distromatrix/runs", "--history", "h.sqlite3")
    assert "history failing for 2 runs, since 20" in second.out
    again = cli("report")
    assert (again.code, "fails only on two (musl)" in again.out) == (1, True)
    assert json.loads(cli("report", "--json").out)["verdict"] == "failed"


def test_what_did_not_pass_in_a_merged_run_is_run_again(cli: Cli, shards: Path) -> None:
    cli("report", "merge", ".distromatrix/runs")
    said = cli("run", "--failed", "--json")
    assert [cell["id"] for cell in json.loads(said.out)["cells"]] == ["two/cases"]


def test_a_merged_run_cannot_be_gone_on_with(cli: Cli, shards: Path) -> None:
    cli("report", "merge", ".distromatrix/runs")
    said = cli("run", "--resume", "latest")
    assert said.code == 2
    assert "has finished" in said.err


def test_a_merge_that_was_killed_is_to_be_merged_again(cli: Cli, shards: Path) -> None:
    cli("report", "merge", ".distromatrix/runs")
    journal = shards / ".distromatrix/runs/latest/journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:1]))
    said = cli("report")
    assert said.code == 69
    assert "interrupted (killed); merge again" in said.out
    assert "--resume" not in said.out


def test_a_case_that_fails_only_there_is_the_first_annotation(
    cli: Cli, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = shards / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(shards.parent))
    said = cli("report", "merge", ".distromatrix/runs", "--github")
    first, *more = annotations(said.out)
    assert not more
    assert first.startswith(
        "::error file=project/t.py,line=2,title=t%3A%3Atest_time fails only on two (musl)::"
        "t::test_time fails only on two (musl)%0A"
    )
    assert "<code>t::test_time</code> fails only on two (musl)</h3>" in summary.read_text()
    (merged,) = [p for p in runs(shards) if (p / "summary.md").exists()]
    assert (merged / "summary.md").read_text() == summary.read_text().lstrip("\n")
    for text in (said.out, summary.read_text()):
        assert "s3cr3t" not in text


def test_secrets_that_a_job_did_not_mask_are_masked_here(
    cli: Cli, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner that lacks a secret cannot mask it, where a test brings it back."""
    for journal in (shards / ".distromatrix/runs").glob("*/journal.jsonl"):
        journal.write_text(journal.read_text().replace("***", "s3cr3t-value"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(shards / "summary"))
    out = cli("report", "merge", ".distromatrix/runs", "--github").out
    assert "no *** here" in annotations(out)[0]
    assert "no *** here" in (shards / "summary").read_text()
    assert "s3cr3t" not in "".join(annotations(out))
    assert "s3cr3t" not in (shards / "summary").read_text()


def test_all_that_people_read_is_printed_where_nothing_is_obeyed(cli: Cli, shards: Path) -> None:
    lines = cli("report", "merge", ".distromatrix/runs", "--github").out.splitlines()
    assert lines[0].startswith("::stop-commands::")
    token = lines[0].removeprefix("::stop-commands::")
    assert len(token) == 32
    end = lines.index(f"::{token}::")
    assert all(line.startswith("::error ") for line in lines[end + 1 :])
    assert not any(line.startswith("::") for line in lines[1:end])


def test_json_is_alone_on_stdout(cli: Cli, shards: Path) -> None:
    said = cli("report", "merge", ".distromatrix/runs", "--github", "--json", "--into", "x")
    assert json.loads(said.out)["run"] == "x"
    assert len(annotations(said.err)) == 1
    assert (shards / "x/results.json").exists()


def test_a_summary_is_put_behind_what_is_there_and_not_over_a_mebibyte(
    cli: Cli, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = shards / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    summary.write_text("before")
    cli("report", "merge", ".distromatrix/runs", "--github")
    assert summary.read_text().startswith("before\n\n<h2>")
    summary.write_text("x" * (1024 * 1024 - 100))
    said = cli("report", "--github")
    assert "no room left for the summary" in said.err
    assert summary.stat().st_size == 1024 * 1024 - 100
    assert annotations(said.out)


def test_a_summary_that_cannot_be_written_costs_no_answer(
    cli: Cli, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(shards / "none/summary"))
    said = cli("report", "merge", ".distromatrix/runs", "--github")
    assert said.code == 1
    assert "cannot write the summary" in said.err
    assert annotations(said.out)


def test_an_own_run_may_be_told_to_github_too(cli: Cli, shards: Path) -> None:
    assert cli("run", "two").code == 1
    said = cli("report", "--github")
    assert said.code == 1
    assert "t::test_time" in annotations(said.out)[0]


def test_wrong_input_is_one_line_and_leaves_nothing(cli: Cli, shards: Path) -> None:
    before = runs(shards)
    for words, said in (
        ((), "name the run folders"),
        (("none",), "none: no such folder"),
        (("plan.json",), "plan.json: is not a folder"),
        (("distros",), "no run folder of a shard here"),
        ((".distromatrix/runs", "--into", "distros"), "distros: already exists"),
        ((".distromatrix/runs", "--into", "t.py"), "t.py: already exists"),
        ((".distromatrix/runs", "--plan", "t.py"), "t.py: is no"),
        ((".distromatrix/runs", "--plan", "none"), "none: cannot be read"),
    ):
        got = cli("report", "merge", *words)
        assert got.code == 2
        assert got.err.count("\n") == 1
        assert said in got.err
        assert runs(shards) == before


def test_a_history_that_cannot_be_written_is_a_warning(cli: Cli, shards: Path) -> None:
    for name in ("t.py/h.sqlite3", "/dev/null"):
        said = cli("report", "merge", ".distromatrix/runs", "--history", name)
        assert said.code == 1
        assert "the history of runs cannot be used" in said.err


def test_help_has_examples(cli: Cli) -> None:
    said = cli("report", "merge", "--help")
    assert said.code == 0
    assert "distromatrix report merge shards/ --plan plan.json --github" in said.out
    assert "report merge --help" in cli("report", "--help").out
