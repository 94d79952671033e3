"""`plan --save`, `plan --format github` and `run --plan --shard`, as a user or a CI calls them."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import pytest
from cli_world import Cli, runs
from shards_world import GUESTS, saved

from distromatrix.execute.product.snapshot import take
from distromatrix.model import Product
from distromatrix.plan.file import read_plan_file


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
