"""The grid of a cluster is that of one host, also where a worker is killed under it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from breaking_world import Project, ended, until
from cluster_world import begun, fill, left, seen, under_way, whole

from cluster_rig import cluster
from given import alpine_or_pulled

pytestmark = pytest.mark.engine


def files(project: Project) -> set[str]:
    """What lies in the folders of the latest run's cells."""
    cells = project.latest / "cells"
    return {str(one.relative_to(cells)) for one in cells.rglob("*") if one.is_file()}


def test_the_grid_is_that_of_one_host_where_a_worker_is_killed(
    project: Project, tmp_path: Path
) -> None:
    local = Project(tmp_path / "l", alpine_or_pulled().parent, distro=project.distro)
    fill(local, distros=2)
    alone = local.start("run")
    with ExitStack() as stack:
        stack.callback(local.clean)
        rig = stack.enter_context(cluster(2))
        fill(project, rig, distros=2)
        run = begun(project, rig)
        under_way(project)
        rig.kill_worker("h1")
        done, here = ended(run), ended(alone)
        assert (done.code, here.code) == (1, 1), done.said + here.said
        assert seen(project) == whole(project)
        assert seen(local) == whole(local)
        assert files(project) == files(local)
        assert {cell["host"] for cell in project.every_result()} <= set(rig.hosts)
        assert all(not cell.get("host") for cell in local.every_result())
        rig.start_worker("h1")
        again = project.call("run", "--cluster", rig.address)
        assert again.code == 1, again.said
        assert seen(project) == whole(project)
        until(lambda: not left(rig))
