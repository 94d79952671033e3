"""Runs have a page: written after the answer, again by `report --html`, and never in the way."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from cli_world import Cli, runs

from distromatrix.record import history
from distromatrix.reports.html import page


def test_a_run_has_a_page_and_report_makes_it_again(project: Path, cli: Cli) -> None:
    assert cli("run").code == 1
    (run,) = runs(project)
    written = (run / "report.html").read_text()
    assert "fails only on two" in written
    (run / "report.html").unlink()
    again = cli("report", "--html")
    assert (again.code, again.out) == (1, f"{run / 'report.html'}\n")
    assert (run / "report.html").read_text() == written


def test_the_page_says_since_when_something_fails(
    project: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is a history although the engine is the fake one.
    monkeypatch.setattr(history, "history_file", lambda root: tmp_path / "data/h.sqlite3")
    for _ in range(3):
        cli("run")
    last = project / ".distromatrix/runs/latest/report.html"
    assert "failing for 3 runs, since " in last.read_text()
    before = last.read_text()
    cli("report", "--html")
    assert last.read_text() == before


def test_merged_runs_have_a_page(project: Path, cli: Cli) -> None:
    assert cli("plan", "--save", "plan.json").code == 0
    for number in (1, 2):
        cli("run", "--plan", "plan.json", "--shard", f"{number}/2")
    assert cli("report", "merge", ".distromatrix/runs", "--into", "merged").code == 1
    merged = (project / "merged/report.html").read_text()
    assert "4 cells" in merged
    assert 'class="timeline"' in merged
    assert "Since the run before" not in merged  # its own shards are none


def test_a_page_that_cannot_be_written_is_a_warning(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "NAME", "no/such/folder.html")
    said = cli("run", "*/good")
    assert said.code == 0
    assert "cannot write the page" in said.err.splitlines()[-1]
    said = cli("report", "--html")
    assert said.code == 69
    assert said.err.startswith("cannot write the page")


def test_what_may_not_be_printed_is_masked(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t-value")
    matrix = (project / "matrix/default.yaml").read_text()
    case = "<testcase name='$TOKEN'><failure message='$TOKEN'/></testcase>"
    (project / "matrix/default.yaml").write_text(
        matrix + f'  cases: {{run: echo "<testsuite>{case}</testsuite>" > $DISTROMATRIX_JUNIT}}\n'
        "pass_env: [TOKEN]\n"
    )
    assert cli("run").code == 1
    (run,) = runs(project)
    assert "***" in (run / "report.html").read_text()
    assert "s3cr3t" not in (run / "report.html").read_text()


def test_a_page_is_opened_in_the_users_browser(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("run")
    (run,) = runs(project)
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)  # which says that it found none
    said = cli("report", "--html", "--open")
    assert opened == [(run / "report.html").as_uri()]
    assert "no browser found" in said.err


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (("--html", "--json"), "--html cannot be combined with --json"),
        (("--rules", "--html"), "--rules cannot be combined with --html"),
        (("--open",), "--open requires --html"),
    ],
)
def test_what_does_not_go_together_is_refused(cli: Cli, given: tuple[str, ...], fault: str) -> None:
    said = cli("report", *given)
    assert said.code == 2
    assert fault in said.err
