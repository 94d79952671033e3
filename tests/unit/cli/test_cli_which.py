"""--tag and --set of every command that takes cells, and what a run says of cells that are not
gating or skip themselves."""

import json
from pathlib import Path

import pytest
from cli_world import Cli, runs

MATRIX = """\
product: .
distros: [one, two]
suites:
  good: {run: echo fine, tags: [quick]}
  bad: {run: exit 3, tags: [nightly], gating: false, reason: young}
  fuse: {run: 'echo no FUSE here; exit 77', skip_status: 77}
sets:
  pr: {tags: [quick], distros: [one]}
  all: {distros: [one, two]}
"""


@pytest.fixture(autouse=True)
def matrix(project: Path) -> None:
    (project / "matrix/default.yaml").write_text(MATRIX)


def planned(cli: Cli, *args: str) -> list[str]:
    said = cli("plan", "--json", *args)
    assert said.code == 0, said.err
    return [cell["id"] for cell in json.loads(said.out)["cells"]]


def test_a_plan_is_of_the_cells_of_tags_and_sets(cli: Cli) -> None:
    assert planned(cli, "--tag", "quick") == ["one/good", "two/good"]
    assert planned(cli, "--tag", "quick", "--tag", "nightly", "one") == ["one/good", "one/bad"]
    assert planned(cli, "--tag", "!quick", "--exclude", "*/bad") == ["one/fuse", "two/fuse"]
    assert planned(cli, "--set", "pr") == ["one/good"]
    assert planned(cli, "--set", "all", "--tag", "nightly", "two") == ["two/bad"]


def test_the_plan_for_people_shows_tags_and_why_a_cell_does_not_count(cli: Cli) -> None:
    said = cli("plan", "one")
    lines = {line.split()[0]: line for line in said.out.splitlines()}
    assert lines["one/good"].endswith("; tags: quick")
    assert lines["one/bad"].endswith("; tags: nightly; not gating: young")
    assert said.out.splitlines()[-1] == "3 to run (1 of them not gating), 0 skipped, 3 left out"


def test_a_run_that_has_only_failures_that_do_not_count_is_0(cli: Cli, project: Path) -> None:
    said = cli("run")
    assert said.code == 0
    assert said.out.splitlines()[-2].endswith("✓ 2 passed  – 2 skipped  ✗ 2 failed, not gating"), (
        said.out
    )
    assert "no FUSE here\n      one/fuse, two/fuse" in said.out
    (folder,) = runs(project)
    results = json.loads((folder / "results.json").read_text())
    assert results["verdict"] == "passed"
    assert {(c["verdict"], c["gating"]) for c in results["cells"]} == {
        ("passed", True),
        ("failed", False),
        ("skipped", True),
    }


def test_what_is_not_gating_is_run_again_by_failed_and_shown_by_report(cli: Cli) -> None:
    assert cli("run").code == 0
    said = cli("report")
    assert (said.code, "2 failed, not gating" in said.out) == (0, True)
    assert cli("run", "--failed", "--set", "all").code == 0
    assert {line.split()[0] for line in cli("report").out.splitlines()[1:4]} >= {"one", "two"}
    assert cli("run", "one/good").code == 0
    none = cli("run", "--failed")
    assert (none.code, "none of these cells failed" in none.err) == (3, True)


@pytest.mark.parametrize("command", ["run", "plan", "images build", "images lock"])
@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--tag", "nightyl"), 3, "no cell has the tag nightyl (did you mean nightly?)"),
        (("--tag", "!slow"), 3, "no cell has the tag slow (there is quick, nightly)"),
        (("--set", "prr"), 2, "no set prr (did you mean pr?)"),
        (("--set", "pr", "--tag", "nightly"), 3, "no cell is all of --tag nightly --set pr"),
        (("--set", "pr", "two"), 3, "nothing selected: no cell is all of two --set pr"),
    ],
)
def test_a_tag_or_a_set_that_nothing_has_is_told_and_nothing_starts(
    cli: Cli, project: Path, command: str, args: tuple[str, ...], code: int, said: str
) -> None:
    told = cli(*command.split(), *args)
    assert (told.code, told.out) == (code, "")
    assert said in told.err.splitlines()[-1]
    assert not runs(project)


def test_a_saved_plan_keeps_what_it_was_selected_by_and_is_run_as_it_is(
    cli: Cli, project: Path
) -> None:
    assert cli("plan", "--save", "plan.json", "--set", "pr", "--tag", "!nightly").code == 0
    saved = json.loads((project / "plan.json").read_text())
    assert saved["selection"]["sets"] == ["pr"]
    assert saved["selection"]["tags"] == ["!nightly"]
    assert [cell["id"] for cell in saved["cells"]] == ["one/good"]
    assert cli("run", "--plan", "plan.json").code == 0
    (folder,) = runs(project)
    results = json.loads((folder / "results.json").read_text())
    assert [cell["id"] for cell in results["cells"]] == ["one/good"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            ("tags: [quick], distros: [one]", "tags: [nightly], distros: [one]"),
            "in one of them only",
        ),
        (("  pr: {", "  pr2: {"), "no set pr"),
        (("gating: false, reason: young", "gating: true"), "`not_gating`"),
        (("skip_status: 77", "skip_status: 76"), "`skip_status`"),
    ],
)
def test_a_saved_plan_is_refused_where_the_matrix_now_says_otherwise(
    cli: Cli, project: Path, change: tuple[str, str], why: str
) -> None:
    sets = ("--set", "pr") if "pr" in change[0] or "tags" in change[0] else ()
    assert cli("plan", "--save", "plan.json", *sets).code == 0
    assert change[0] in MATRIX
    (project / "matrix/default.yaml").write_text(MATRIX.replace(*change))
    said = cli("run", "--plan", "plan.json")
    assert (said.code, why in said.err) == (2, True), said.err
    assert not runs(project)


@pytest.mark.parametrize("args", [("--tag", "quick"), ("--set", "pr")])
def test_what_goes_on_or_is_planned_takes_no_other_choice(cli: Cli, args: tuple[str, str]) -> None:
    assert cli("plan", "--save", "plan.json").code == 0
    for command in (
        ("run", "--resume", "latest"),
        ("run", "--plan", "plan.json"),
        ("plan", "--plan", "plan.json"),
        ("images", "export", "i.tar", "--plan", "plan.json"),
    ):
        said = cli(*command, *args)
        assert said.code == 2
        assert f"cannot be combined with {args[0]}" in said.err


@pytest.mark.parametrize("command", ["run", "plan", "images build", "images lock", "images export"])
def test_help_tells_of_both(cli: Cli, command: str) -> None:
    out = cli(*command.split(), "--help").out
    assert "--tag TAG" in out and "--set NAME" in out
