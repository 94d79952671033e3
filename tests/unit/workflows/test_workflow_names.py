"""Names that would be code, if the workflow let them; and workflows that are broken on purpose,
of which the runner of the tests must not make anything good."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from workflow_world import CODE, NASTY, WORKFLOW, World

from actions.expressions import UnknownExpressionError
from actions.runner import Runner


def test_whatever_a_name_holds_is_a_name(world: World) -> None:
    jobs = world.call(shards="1")
    assert [j.id for j in jobs] == ["plan", "shard", "answer"], jobs[0].log
    found = json.loads((world.storage.artifacts["distromatrix"] / "results.json").read_text())
    verdicts = {c["id"]: c["verdict"] for c in found["cells"]}
    assert verdicts == {"one/token": "passed", "one/cases": "failed"}, jobs[1].log
    assert NASTY not in jobs[1].log  # the token's value was masked
    assert not [a for a in jobs[1].annotations if a.kind == "error"]  # it was a test that said so
    shown = [a for a in jobs[-1].annotations if a.kind == "error"]
    assert len(shown) == 2, shown  # what looks like a command in a name is none
    assert all(a.properties.startswith("title=") for a in shown)
    assert [a for a in shown if "🦊" in a.message]
    assert "<script>" not in jobs[-1].summary
    page = (world.storage.artifacts["distromatrix"] / "report.html").read_text()
    assert "one/cases" in page
    assert "<script>alert" not in page
    assert NASTY not in page


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("selectors", "no cell"),
        ("exclude", "no cell"),
        ("tags", "no cell has the tag"),
        ("set", "no set"),
        ("shards", "--shards"),
    ],
)
def test_whatever_an_input_holds_is_a_value(world: World, name: str, said: str) -> None:
    (plan, *others) = world.call(**{name: NASTY})
    assert plan.result == "failure"
    assert said in plan.log
    assert [job.result for job in others] == ["skipped", "skipped"]


def test_a_call_cannot_be_named_as_another_calls_artifacts_are(world: World) -> None:
    for name in ("x-1-plan", "x-1-shard-2", "x-history-y"):
        (plan, *others) = world.call(name=name)
        assert plan.result == "failure"
        assert [job.result for job in others] == ["skipped", "skipped"]
        said = " ".join(a.message for a in plan.annotations)
        assert "name: it may not look like another's" in said
    assert world.call(name="x-1")[0].result == "success"


def test_selectors_are_no_options_and_no_globs_of_the_shells(world: World) -> None:
    jobs = world.call(selectors="one/*\n\n */token", exclude=" \n*/to*", shards="1")
    assert jobs[0].result == "success", jobs[0].log
    assert jobs[1].values["cells"] == ["one/cases"]
    (plan, *_) = world.call(selectors="--help")
    assert plan.result == "failure"
    assert "Usage" not in plan.log


@pytest.mark.parametrize(
    ("chosen", "cell"),
    [
        pytest.param({"tags": "quick"}, "one/token", marks=pytest.mark.slow),
        ({"tags": " \n!quick"}, "one/cases"),
        pytest.param({"set": " pr "}, "one/token", marks=pytest.mark.slow),
    ],
)
def test_cells_are_chosen_by_tag_and_by_set(
    world: World, chosen: dict[str, str], cell: str
) -> None:
    jobs = world.call(shards="1", **chosen)
    assert jobs[1].values["cells"] == [cell], jobs[0].log


ONE_STEP = """\
name: one
on: {workflow_call: {inputs: {}, secrets: {}}}
concurrency: {group: one}
defaults: {run: {shell: bash}}
jobs:
  one:
    name: one
    runs-on: ubuntu-latest
    timeout-minutes: 5
    permissions: {contents: read}
    steps:
      - name: Check out
        uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
        with: {persist-credentials: false}
      - name: Call
        uses: $/.github/actions/distromatrix
        with:
          args: ARGS
          working-directory: DIRECTORY
"""


def test_a_single_step_calls_what_its_arguments_say(world: World, tmp_path: Path) -> None:
    matrix = NASTY.replace("'", "'\"'\"'")
    args = f"run one/cases -m 'matrix/{matrix}.yaml' --exclude '*/to*' --trust"
    text = ONE_STEP.replace("ARGS", json.dumps(args, ensure_ascii=False)).replace(
        "DIRECTORY", json.dumps(NASTY, ensure_ascii=False)
    )
    # What stands in a file is an expression's; a caller's text comes out of one.
    text = text.replace("${{", "${{ '${{' }}")
    (tmp_path / "one.yml").write_text(text)
    runner = Runner(
        root=WORKFLOW.parents[2],
        workflow=tmp_path / "one.yml",
        storage=world.storage,
        before=world.runner().before,
    )
    runner.environ |= {"PWNED": str(world.pwned)}
    (job,) = runner.run()
    assert job.result == "failure"
    assert "one/cases" in job.log
    assert "1 failed" in job.log
    assert not job.annotations  # what a test prints is no command


BROKEN = {
    "an output by another name": ("outputs.jobs }}", "outputs.job }}"),
    "an output that is not set": ("--output jobs", "--output job"),
    "an output that a job does not have": ("needs.plan.outputs.jobs", "needs.plan.outputs.job"),
    "a job that is not needed": ("    needs: plan\n", ""),
    "a name of the matrix": ("matrix.guests", "matrix.guest"),
    "a step's id": ("id: cache", "id: caches"),
    "an input": ("inputs.cache-size", "inputs.cachesize"),
    "a function": ("fromJSON(needs", "toJSON(needs"),
    "an action": ("actions/cache/restore@5", "actions/cache/restore@6"),
    "an action's argument": ("restore-keys:", "restore-key:"),
    "an action's own output": ("outputs.cache-matched-key", "outputs.matched-key"),
    "a step's key": ("id: plan\n", "id: plan\n        continue-on-error: true\n"),
    "code out of a name": ('SHARD: ${{ matrix.shard }}\n        run: echo "', 'SHARD: x\n'
                           '        run: echo "${{ matrix.shard }}'),
    "a script's line": ("--format github", "--format text"),
    "an artifact's name": ("-plan\n          path: ${{ runner.temp }}/plan/", "-plans\n"
                           "          path: ${{ runner.temp }}/plan/"),
}  # fmt: skip


# What proves the runner of these tests: a few of each kind, all of them when there is time.
@pytest.mark.parametrize(
    "what",
    [w if n % 5 == 0 else pytest.param(w, marks=pytest.mark.slow) for n, w in enumerate(BROKEN)],
)
def test_a_broken_workflow_does_not_pass(world: World, tmp_path: Path, what: str) -> None:
    old, new = BROKEN[what]
    text = WORKFLOW.read_text("utf-8")
    assert old in text
    (tmp_path / "broken.yml").write_text(text.replace(old, new))
    runner = world.runner(tmp_path / "broken.yml", shards="1", selectors="one/token")
    with pytest.raises((UnknownExpressionError, AssertionError)):
        jobs = runner.run()
        assert [job.result for job in jobs] == ["success"] * 3


def test_variables_for_the_tests_are_no_variables_of_the_step(world: World) -> None:
    theirs = ("SHARD", "DIRECTORY", "line", "value", "handed", "status", "unmet", "name")
    runner = world.runner(shards="1", selectors="one/token")
    runner.secrets["pass-env"] += "".join(f"\n{name}=$({CODE})" for name in theirs)
    jobs = runner.run()
    assert [job.result for job in jobs] == ["success"] * 3, jobs[1].log


def test_annotations_name_files_as_they_are_in_the_repository(world: World) -> None:
    product = world.storage.repository / "sub"
    (world.storage.repository / NASTY).rename(product)
    (product / "matrix" / f"{NASTY}.yaml").rename(product / "matrix/default.yaml")
    case = "<testcase name='x'><failure>\ntests/x.sh:7: wrong</failure></testcase>"
    (product / "cases.xml").write_text(f"<testsuite>{case}</testsuite>")
    git = ["git", "-C", str(product), "-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["add", "-A", ".."], ["commit", "-q", "-m", "moved"]):
        subprocess.run([*git, *command], check=True)
    jobs = world.call(directory="sub", matrix="matrix/default.yaml", selectors="one/cases")
    (shown,) = [a for a in jobs[-1].annotations if a.kind == "error"]
    assert shown.properties.startswith("file=sub/tests/x.sh,line=7,"), jobs[-1].log
