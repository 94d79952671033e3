"""What a checkout brings along as `.distromatrix` leads the workflow to no file of the runner's."""

from __future__ import annotations

import gzip
import subprocess

import pytest
from workflow_world import NASTY, World

SECRET = "a file of the runner's"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (".distromatrix/runs/latest", "../../private"),
        pytest.param(".distromatrix", "private", marks=pytest.mark.slow),
        pytest.param(".distromatrix/runs/latest", "private", marks=pytest.mark.slow),
        pytest.param(".distromatrix/runs", "private/runs", marks=pytest.mark.slow),
    ],
)
def test_a_committed_link_packs_nothing(world: World, link: str, target: str) -> None:
    private = world.pwned.parent / "private"
    for folder in (private, private / "runs/latest", private / "runs/20200101-000000-0000"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "secret").write_text(SECRET)
    product = world.storage.repository / NASTY
    (product / link).parent.mkdir(parents=True, exist_ok=True)
    (product / link).symlink_to(target if target[0] == "." else private.parent / target)
    git = ["git", "-C", str(product), "-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["add", "-f", "."], ["commit", "-q", "-m", "link"]):
        subprocess.run([*git, *command], check=True)
    _, shard, *_ = world.call(selectors="one/token", shards="1")
    assert shard.result == "failure"
    assert "nothing was written or removed there" in shard.step("Run").log
    for artifact in world.storage.artifacts.values():
        for file in artifact.rglob("*"):
            content = file.read_bytes() if file.is_file() else b""
            assert SECRET.encode() not in (
                gzip.decompress(content) if file.suffix == ".gz" else content
            ), file
    assert [p.name for p in private.rglob("*") if p.is_file()] == ["secret"] * 3


def test_the_run_that_is_packed_is_this_ones(world: World) -> None:
    jobs = world.call(selectors="one/token", shards="1")
    assert [job.result for job in jobs] == ["success"] * 3, jobs[1].log
    assert jobs[1].step("Pack the run").outcome == "success"
