"""What one run of the workflow leaves for the next: images, how long cells took; and what is
damaged of it."""

from __future__ import annotations

import pytest
from workflow_world import World

from actions.runner import Job


def again(
    world: World, monkeypatch: pytest.MonkeyPatch, engine: str, **inputs: object
) -> list[Job]:
    """Another run, on machines with nothing on their engine."""
    world.storage.new_run()
    monkeypatch.setenv("DISTROMATRIX_FAKE", str(world.pwned.parent / engine))
    jobs = world.call(selectors="one/token", shards="1")
    assert [job.result for job in jobs] == ["success"] * 3, "\n".join(job.log for job in jobs)
    return jobs


def warnings(job: Job) -> list[str]:
    return [a.message for a in job.annotations if "pass-env" not in a.message]


@pytest.mark.slow
def test_what_is_kept_serves_or_does_no_harm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = again(world, monkeypatch, "first")[1]
    assert first.step("Load them").outcome == "skipped"
    assert first.step("Keep them").outcome == "success"
    kinds = sorted(key.split("-")[1] for key in world.storage.caches)
    assert kinds == ["history", "images"]

    plan, shard, _ = again(world, monkeypatch, "second")
    assert shard.step("Load them").outcome == "success"
    assert "1 images" in shard.step("Load them").log
    assert shard.step("Images for the next run").outcome == "skipped"
    assert warnings(shard) == []
    assert "no earlier runs" not in plan.log

    for file in world.storage.caches.values():
        file.write_bytes(file.read_bytes()[:20])
    plan, shard, _ = again(world, monkeypatch, "third")
    assert [w for w in warnings(shard) if "cached images are not used" in w]
    assert "the history is damaged" in plan.step("Plan").log


@pytest.mark.slow
def test_a_run_can_be_run_again_whole(world: World) -> None:
    runner = world.runner(shards="1", selectors="one/token")
    runner.run()
    again = world.runner(shards="1", selectors="one/token")
    again.attempt = 2
    assert [job.result for job in again.run()] == ["success"] * 3
    assert len(world.storage.artifacts) == 5  # of each run a plan and a shard; one answer
