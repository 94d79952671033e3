"""Only what a change touches: the workflow's input `changed`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml
from workflow_world import NASTY, World

from actions.runner import Job


@pytest.fixture
def world(world: World) -> World:
    """Its suites read a file each, and the branch `main` has them."""
    file = world.storage.repository / NASTY / "matrix" / f"{NASTY}.yaml"
    said = yaml.safe_load(file.read_text())
    del said["sets"]
    said["suites"] = {
        name: {"run": f"cat {name}", "reads": [f"{name}*"]} for name in ("token", "cases")
    }
    file.write_text(yaml.safe_dump(said))
    (file.parents[1] / "cases").write_text("x")
    commit(world)
    git(world, "branch", "-f", "main")
    git(world, "checkout", "-q", "-b", "topic")
    return world


def git(world: World, *args: str) -> str:
    command = ["git", "-C", str(world.storage.repository), "-c", "user.name=x", "-c"]
    done = subprocess.run(
        [*command, "user.email=x@y", *args], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(world: World) -> None:
    git(world, "add", "-A")
    git(world, "commit", "-q", "--allow-empty", "-m", "x")


@pytest.fixture
def call(world: World) -> Callable[..., list[Job]]:
    def of(*, pull: bool = True, **inputs: object) -> list[Job]:
        base = git(world, "rev-parse", "main") if pull else ""
        return replace(world.runner(changed=True, **inputs), base=base).run()

    return of


def cells(jobs: list[Job]) -> list[str]:
    return sorted(cell for job in jobs for cell in job.values.get("cells", ()))


@pytest.mark.parametrize("pull", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_only_what_is_touched_has_jobs(
    world: World, call: Callable[..., list[Job]], pull: bool
) -> None:
    (world.storage.repository / NASTY / "token").write_text("other")
    commit(world)
    commit(world)  # more than the one commit of a shallow checkout
    jobs = call(pull=pull)
    assert [job.result for job in jobs] == ["success"] * 3, "\n".join(job.log for job in jobs)
    assert cells(jobs) == ["one/token"]
    assert "1 of 2 suites read nothing that changed since `origin/main` (" in jobs[0].log


def test_where_nothing_is_to_run_jobs_are_skipped_and_the_answer_is_green(
    world: World, call: Callable[..., list[Job]]
) -> None:
    (world.storage.repository / "elsewhere").write_text("in no product")
    commit(world)
    plan, shard, answer = call()
    assert (plan.result, shard.result, answer.result) == ("success", "skipped", "success")
    assert json.loads(plan.outputs["jobs"]) == {"include": []}
    assert "nothing to run: no suite that is selected reads what changed" in plan.log
    assert answer.outputs["verdict"] == "passed"
    said = "nothing was run: <code>nothing that it reads changed since `origin/main` ("
    assert said in answer.summary
    assert [a for a in (*plan.annotations, *answer.annotations) if a.kind == "error"] == []


def test_on_the_default_branch_and_without_the_input_all_run(
    world: World, call: Callable[..., list[Job]]
) -> None:
    git(world, "checkout", "-q", "main")
    assert cells(call(pull=False)) == ["one/cases", "one/token"]
    git(world, "checkout", "-q", "topic")
    (world.storage.repository / NASTY / "token").write_text("other")
    commit(world)
    world.storage.new_run()
    assert cells(world.call()) == ["one/cases", "one/token"]
