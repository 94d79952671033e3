"""A pull request may do to the runner what its base branch does already, and no more."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml
from workflow_world import NASTY, World

from actions.runner import Job


def git(world: World, *args: str) -> str:
    command = ["git", "-C", str(world.storage.repository), "-c", "user.name=x", "-c"]
    done = subprocess.run(
        [*command, "user.email=x@y", *args], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def proposed(world: World, **more: object) -> str:
    """Commit a change of the matrix; the commit before."""
    base = git(world, "rev-parse", "HEAD")
    file = world.storage.repository / NASTY / "matrix" / f"{NASTY}.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | more))
    git(world, "commit", "-q", "-a", "-m", "more")
    return base


@pytest.fixture
def call(world: World) -> Callable[..., list[Job]]:
    def of(base: str = "", **inputs: object) -> list[Job]:
        world.storage.new_run()
        runner = world.runner(selectors="one/token", shards="1", **inputs)
        return replace(runner, base=base).run()

    return of


def test_what_the_base_branch_does_needs_no_yes(
    world: World, call: Callable[..., list[Job]]
) -> None:
    base = proposed(world, env={"A": "b"})  # pass_env is in both
    jobs = call(base)
    assert [job.result for job in jobs] == ["success"] * 3, "\n".join(job.log for job in jobs)


def test_what_is_new_ends_in_the_plan_with_what_to_do(
    world: World, call: Callable[..., list[Job]]
) -> None:
    base = proposed(world, index="host")
    plan, *others = call(base)
    assert plan.result == "failure"
    assert [job.result for job in others] == ["skipped", "skipped"]
    (error,) = [a for a in plan.annotations if a.kind == "error"]
    assert "the workflow's input trust" in error.message
    said = plan.step("Plan").log
    assert ": index: host: hands your package indexes" in said
    digest = said.partition("DISTROMATRIX_TRUST=")[2].split()[0]
    jobs = call(base, trust=digest)
    assert [job.result for job in jobs] == ["success"] * 3, jobs[1].log
    assert [job.result for job in call()] == ["success"] * 3  # once it is merged


def test_a_base_branch_without_a_matrix_lets_nothing(
    world: World, call: Callable[..., list[Job]]
) -> None:
    nothing = git(world, "hash-object", "-w", "-t", "tree", "/dev/null")
    base = git(world, "commit-tree", nothing, "-m", "nothing")
    plan, *_ = call(base)
    assert plan.result == "failure"
    assert ": pass_env: TOKEN: " in plan.step("Plan").log
