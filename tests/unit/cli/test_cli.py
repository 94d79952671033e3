"""The commands as a user or a program meets them: what they print where, how they end."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path

import pytest
from cli_world import DISTRO, MATRIX, Cli, runs

from distromatrix.cli import COMMANDS


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_help_shows_examples(cli: Cli, command: list[str]) -> None:
    said = cli(*command, "--help")
    assert said.code == 0
    assert "Examples:\n    distromatrix" in said.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("ru", "no such command: ru; did you mean `run`?"),
        ("run --bogus", "--bogus"),
        ("run -j 0", "neither a number from 1 to 1000 nor `auto`"),
        ("run --timeout 0", "expected a duration"),
        ("run --retries 99", "99 is not in the range"),
        ("run --keep sometimes", "'never', 'failed', 'always'"),
        ("run --repeat 0", "0 is not in the range"),
        ("run --shuffle 4294967296", "4294967296 is too large (at most 4294967295)"),
        ("run --resume latest --repeat 2", "--resume cannot be combined with"),
        ("run --resume latest --shuffle 0", "--resume cannot be combined with"),
        ("run --resume latest --failed", "--resume cannot be combined with"),
        ("run --resume nothing", "nothing: no such run"),
        ("run --failed", "no run here yet"),
        ("report", "no run here yet"),
        ("shell", "CELL"),
        ("shell one", "must match exactly one cell; matches: one/good, one/bad"),
        ("plan -C nowhere", "nowhere: is not a folder"),
        ("plan -m nowhere.yaml", "nowhere.yaml: no such matrix file"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(cli: Cli, project: Path, args: str, words: str) -> None:
    said = cli(*args.split())
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert words in said.err
    assert not runs(project)


@pytest.mark.parametrize("command", ["plan", "run", "images build"])
def test_a_wrong_matrix_is_told_with_all_its_faults_before_anything_starts(
    cli: Cli, project: Path, command: str
) -> None:
    (project / "matrix/default.yaml").write_text("product: .\ndistro: []\nsuites: {}\n")
    said = cli(*command.split())
    assert (said.code, said.out) == (2, "")
    faults = said.err.splitlines()
    assert len(faults) == 3
    assert all(line.startswith("matrix/default.yaml:") for line in faults)
    assert not runs(project)


@pytest.mark.parametrize("command", ["plan", "run", "images build"])
def test_a_selector_that_matches_nothing_is_3_and_nothing_starts(
    cli: Cli, project: Path, command: str
) -> None:
    said = cli(*command.split(), "nothing/here")
    assert (said.code, said.out) == (3, "")
    assert said.err == "no cell matches nothing/here (`distromatrix plan` lists all)\n"
    assert not (project / ".distromatrix").exists()


def test_the_plan_for_programs_is_json_alone(cli: Cli) -> None:
    said = cli("plan", "one", "--exclude", "*/bad", "--json")
    plan = json.loads(said.out)
    assert list(plan) == ["cells", "excluded", "expected"]
    assert [c["id"] for c in plan["cells"]] == ["one/good"]
    keys = ["id", "distro", "suite", "variant", "engine", "reason", "verdict"]
    keys += ["tags", "gating", "gating_reason"]
    assert list(plan["cells"][0]) == keys
    assert {e["id"] for e in plan["excluded"]} == {"one/bad", "two/good", "two/bad"}
    assert [list(e) for e in plan["excluded"]] == [["id", "reason"]] * 3
    assert "warning: one is past its end of life (2020-01-01)" in said.err


def test_distros_for_programs_have_the_keys_of_their_files(cli: Cli) -> None:
    listed = {d["name"]: d for d in json.loads(cli("distros", "--json").out)}
    assert {"one", "two", "debian-12", "alpine-3.20"} <= set(listed)
    assert listed["one"]["image"][0]["pull"] == "docker.io/library/one:1"
    assert listed["one"]["eol"] == "2020-01-01"
    line = next(x for x in cli("distros").out.splitlines() if x.split()[0] == "one")
    assert "2020-01-01 ended" in line


def test_distros_are_chosen_by_globs_and_by_being_verified(cli: Cli) -> None:
    names = lambda *args: [d["name"] for d in json.loads(cli("distros", "--json", *args).out)]  # noqa: E731
    assert names("one", "debian-1[12]") == ["debian-11", "debian-12", "one"]
    assert names("debian-12", "fedora-*", "--verified") == ["debian-12"]
    assert cli("distros", "one", "--verified").out == "0 distros: 0 verified here (✓)\n"


def test_a_glob_that_matches_no_distro_is_3_with_near_names(cli: Cli) -> None:
    said = cli("distros", "debian-12", "debian-21", "zzz*")
    assert (said.code, said.out) == (3, "")
    near, none = said.err.splitlines()
    assert near.startswith("no distro matches `debian-21` (did you mean `debian-1")
    assert none == "no distro matches `zzz*` (`distromatrix distros` lists all)"


def test_a_run_leaves_its_answer_in_files(cli: Cli, project: Path) -> None:
    assert cli("run", "*/good").code == 0
    (folder,) = runs(project)
    assert (project / ".distromatrix/runs/latest").resolve() == folder
    for name in ("journal.jsonl", "results.json", "junit.xml", "cells/one/good/log.txt"):
        assert (folder / name).is_file(), name
    assert (folder / "cells/one/good/log.txt").read_text() == "fine\n"
    results = json.loads((folder / "results.json").read_text())
    assert list(results) == ["run", "verdict", "repeat", "seed", "plan", "cells", "groups"]
    assert (results["run"], results["verdict"]) == (folder.name, "passed")
    run_keys = ["verdict", "phase", "seconds", "reason", "cases", "fallback"]
    keys = ["id", *run_keys, "gating", "gating_reason", "engine", "blame", "image", "xpassed"]
    keys += [
        "unmatched",
        "debug",
        "hints",
        "warnings",
        "needing",
        "runs",
        "retries",
        "flaky",
        "facts",
    ]
    assert [list(cell) for cell in results["cells"]] == [keys] * 2
    assert list(results["cells"][0]["image"]) == ["source", "id"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_under_sudo_all_of_it_belongs_to_the_caller(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "2345")
    assert cli("run", "*/good").code == 0
    ours = project / ".distromatrix"
    owners = {(p.lstat().st_uid, p.lstat().st_gid) for p in (ours, *ours.rglob("*"))}
    assert owners == {(1234, 2345)}


def test_a_failure_is_1_and_told_with_where_and_how_to_run_it_again(cli: Cli) -> None:
    said = cli("run")
    assert said.code == 1
    assert "fails only on two" in said.out
    assert "again   distromatrix run two/bad" in said.out
    assert said.out.splitlines()[-2].startswith("failed  4 cells in ")


def test_failed_runs_only_what_failed(cli: Cli) -> None:
    cli("run")
    said = cli("run", "--failed", "--json")
    assert said.code == 1
    assert [c["id"] for c in json.loads(said.out)["cells"]] == ["two/bad"]
    assert cli("run", "*/good").code == 0
    said = cli("run", "--failed")
    assert (said.code, said.err.count("\n")) == (3, 1)


def test_a_report_is_made_again_from_the_journal(cli: Cli, project: Path) -> None:
    first = cli("run")
    (folder,) = runs(project)
    stored = json.loads((folder / "results.json").read_text())
    for name in ("results.json", "junit.xml"):
        (folder / name).unlink()
    again = cli("report")
    assert again.code == 1
    assert again.out.splitlines()[-1] == first.out.splitlines()[-1]
    assert "fails only on two" in again.out
    assert json.loads(cli("report", folder.name, "--json").out) == stored
    assert (folder / "junit.xml").is_file()


NAMED = """\
product: .
distros: [one, two]
suites:
  s:
    run: |
      f() { echo "<testcase name='$1'>$2</testcase>"; }
      { echo "<testsuite>"; f 'x[1]' '<failure/>'; f y; echo "</testsuite>"; } >$DISTROMATRIX_JUNIT
      exit 1
rules:
"""


def test_rules_that_a_run_suggests_make_it_green_once_they_have_a_reason(
    cli: Cli, project: Path
) -> None:
    matrix = project / "matrix/default.yaml"
    matrix.write_text(f"{NAMED}  []\n")
    first = cli("run")
    rule = '{suite: s, expect: fail, reason: "", cases: ["x[[]1]"]}'
    assert first.code == 1
    assert f"  - {rule}\n" in first.out
    said = cli("report", "--rules")
    assert (said.code, said.err) == (1, "")
    assert said.out == f"  # Put these first under `rules:`, and give each a reason.\n  - {rule}\n"
    matrix.write_text(NAMED + said.out)
    assert "the reason is left open (say why)" in cli("run").err
    matrix.write_text(NAMED + said.out.replace('reason: ""', "reason: because"))
    again = cli("run")
    assert again.code == 0
    assert "x 2 xfailed" in again.out
    said = cli("report", "--rules")
    assert (said.code, said.out, said.err.count("\n")) == (0, "", 1)
    assert cli("report", "--rules", "--json").code == 2


def test_a_glob_that_matches_no_case_is_a_warning_and_a_failure_beside_is_red(
    cli: Cli, project: Path
) -> None:
    rules = "  - {expect: fail, cases: ['x[?]'], reason: r}\n"
    (project / "matrix/default.yaml").write_text(NAMED + rules)
    said = cli("run")
    assert said.code == 1
    assert "a rule expects `x[?]` to fail, but no case of any cell that ran" in said.out
    assert "fails everywhere (2 of 2)" in said.out


def test_a_matrix_outside_its_folder_has_its_runs_found_again(cli: Cli, project: Path) -> None:
    (project / "matrix/default.yaml").rename(project / "other.yaml")
    first = cli("run", "-m", "other.yaml", "*/good")
    again = cli("report", "-m", "other.yaml")
    assert (first.code, again.code) == (0, 0)
    assert again.out.splitlines()[-1] == first.out.splitlines()[-1]


def test_results_for_programs_are_json_alone(cli: Cli, project: Path) -> None:
    said = cli("run", "one", "--json")
    (folder,) = runs(project)
    assert json.loads(said.out) == json.loads((folder / "results.json").read_text())
    assert "warning: one is past" in said.err
    assert "one/good" in said.err


def test_a_need_that_nothing_meets_is_no_success(cli: Cli, project: Path) -> None:
    matrix = MATRIX + "  kernel: {needs: [kernel-modules], run: 'true'}\n"
    (project / "matrix/default.yaml").write_text(matrix)
    said = cli("run", "one/kernel", "one/good")
    assert said.code == 1
    assert "kernel-modules, which a container does not have" in said.out
    assert cli("run", "one/kernel", "one/good", "--allow-unmet").code == 0


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--fail-on-flaky",), 1)])
def test_a_flaky_cell_fails_the_run_only_where_that_is_wanted(
    cli: Cli, project: Path, options: tuple[str, ...], code: int
) -> None:
    count = f"echo >>{project}/../runs; test $(wc -l <{project}/../runs) -gt 1"
    matrix = MATRIX + f"  now-and-then: {{retry_failed: 1, run: '{count}'}}\n"
    (project / "matrix/default.yaml").write_text(matrix)
    said = cli("run", "one/now-and-then", *options)
    assert said.code == code
    assert "again one/now-and-then: run again (1 of at most 1): exit status 1" in said.out
    assert "✓ passed (flaky)" in said.out


def test_a_timeout_on_the_command_line_goes_before_the_suites_own(cli: Cli, project: Path) -> None:
    matrix = MATRIX + "  hang: {run: 'echo before; sleep 60', timeout: 10m}\n"
    (project / "matrix/default.yaml").write_text(matrix)
    said = cli("run", "one/hang", "--timeout", "1s")
    assert said.code == 1
    assert "timed out after 1 s" in said.out
    assert "before" in said.out


def test_after_the_first_bad_one_fail_fast_begins_no_more(cli: Cli, project: Path) -> None:
    matrix = "product: .\ndistros: [one]\nsuites:\n" + "".join(
        f"  s{n}: {{run: exit 1}}\n" for n in range(20)
    )
    (project / "matrix/default.yaml").write_text(matrix)
    cells = json.loads(cli("run", "--fail-fast", "-j", "1", "--json").out)["cells"]
    verdicts = [c["verdict"] for c in cells]
    assert 1 <= verdicts.count("failed") <= 3
    assert verdicts.count("failed") + verdicts.count("skipped") == 20


def test_an_image_that_cannot_be_had_is_69(cli: Cli, project: Path) -> None:
    distro = DISTRO.replace(
        "pull: docker.io/library/NAME:1", f"archive: {{file: a, sha256: {64 * '0'}}}"
    )
    (project / "distros/one.yaml").write_text(distro)
    said = cli("run", "one/good", "--retries", "0")
    assert said.code == 69
    assert "archive a: not found in" in said.out


@pytest.mark.parametrize("command", ["run", "shell one/good", "images list", "clean"])
def test_without_an_engine_it_is_69_with_doctors_advice(
    cli: Cli, project: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/faults.json").write_text('{"unavailable": true}')
    said = cli(*command.split())
    assert (said.code, said.out, said.err.count("\n")) == (69, "", 1)
    assert "`distromatrix doctor` says more, `doctor --fix` may mend it" in said.err
    assert not (project / ".distromatrix").exists()
    assert cli("plan").code == 0


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        ("true", "names $DISTROMATRIX_JUNIT but left no file"),
        ("echo '<testsuite/>'", "holds no case"),
        ("echo '<testsuite><testcase '", "the JUnit file is cut off"),
        ("echo '<!DOCTYPE a [<!ENTITY b \"c\">]><testsuite/>'", "declares a DTD or entities"),
    ],
)
def test_a_suite_that_breaks_its_promise_of_a_report_is_no_success(
    cli: Cli, project: Path, left: str, reason: str
) -> None:
    into = "" if left == "true" else ' > "$DISTROMATRIX_JUNIT"'
    run = json.dumps(f"{left}{into} # $DISTROMATRIX_JUNIT")
    matrix = f"product: .\ndistros: [one]\nsuites:\n  unit: {{run: {run}}}\n"
    (project / "matrix/default.yaml").write_text(matrix)
    said = cli("run")
    assert said.code == 1
    assert reason in said.out
    assert ("left no file" in said.out) == (left == "true")


def test_what_the_file_system_refuses_is_one_line_and_69(cli: Cli, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "CACHE")
    (tmp_path / "CACHE").write_text("in the way")
    said = cli("images", "build", "one/good")
    assert (said.code, said.out, said.err.count("\n")) == (69, "", 1)
    assert str(tmp_path / "CACHE") in said.err


@pytest.mark.parametrize("name", ["matrix", "distro", "settings"])
def test_schemas_are_printed(cli: Cli, name: str) -> None:
    schema = json.loads(cli("schema", name).out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["properties"]


def test_runs_of_one_cell_are_counted_and_told(cli: Cli, project: Path) -> None:
    matrix = "test $DISTROMATRIX_REPEAT != 2; echo seed $DISTROMATRIX_SEED"
    (project / "matrix/default.yaml").write_text(
        f"product: .\ndistros: [one]\nsuites:\n  odd: {{run: '{matrix}'}}\n"
    )
    said = cli("run", "--repeat", "3", "--shuffle", "a word", "--json")
    assert said.code == 1
    results = json.loads(said.out)
    assert (results["repeat"], results["seed"]) == (3, zlib.crc32(b"a word"))
    (cell,) = results["cells"]
    assert [run["verdict"] for run in cell["runs"]] == ["passed", "failed", "passed"]
    assert cell["flaky"] == [{"case": None, "passed": 2, "failed": 1}]
    (folder,) = runs(project)
    log = (folder / "cells/one/odd/repeat-1/log.txt").read_text()
    assert log == f"seed {zlib.crc32(b'a word')}\n"
    again = cli("report")
    assert again.code == 1
    assert "one/odd: passed 2, failed 1 of 3" in again.out
    assert f"run --repeat 3 --shuffle {zlib.crc32(b'a word')} one/odd" in again.out


def test_a_random_seed_is_told_so_that_it_can_be_given_again(cli: Cli, project: Path) -> None:
    seeds = []
    for _ in range(2):
        said = cli("run", "*/good", "--shuffle", "random")
        seeds += [line.split()[1] for line in said.out.splitlines() if line.startswith("seed ")]
        assert f"shuffled by {seeds[-1]}" in said.out
    assert len(set(seeds)) == 2
