"""A product whose cells take some seconds, run on a cluster, and how a run of it is broken."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from breaking_world import Ended, Project, until

from cluster_rig import Rig

BIG = 300_000  # bytes: fetched by itself, and not with its result
COMMON = """echo said-$DISTROMATRIX_DISTRO
sleep $((1 + $(od -An -N1 -tu1 /dev/urandom) % 3))
"""
CASE = '<testsuite><testcase classname="c" name="one"/></testsuite>'
SUITES = {
    "big": f"{COMMON} head -c {BIG} /dev/urandom >$DISTROMATRIX_ARTIFACTS/big",
    "cases": f"{COMMON} echo '{CASE}' >$DISTROMATRIX_JUNIT",
    "fails": f"{COMMON} exit 3",
}


def fill(project: Project, rig: Rig | None = None, distros: int = 3) -> None:
    """Three cells on each of some distros, and the way to the cluster."""
    names = [project.distro, f"{project.distro}-b", f"{project.distro}-c"][:distros]
    for name in names[1:]:
        project.add_distro(name)
    project.suites(SUITES, distros=names)
    project.environ |= rig.environ("client") if rig else {}


def seen(project: Project) -> dict[str, tuple[str, bool, int]]:
    """Of each cell its verdict, whether its log is whole, and the size of its artifacts."""
    found = {}
    for cell in project.every_result():
        folder = project.latest / "cells" / cell["id"]
        log = (folder / "log.txt").read_text() if (folder / "log.txt").exists() else ""
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.name.startswith("big"))
        found[cell["id"]] = (cell["verdict"], f"said-{cell['id'].partition('/')[0]}" in log, size)
    return found


def whole(project: Project) -> dict[str, tuple[str, bool, int]]:
    """What `seen` says where nothing is lost."""
    verdicts = {"big": ("passed", True, BIG), "cases": ("passed", True, 0)}
    verdicts["fails"] = ("failed", True, 0)
    return {f"{d}/{s}": one for d in project.named for s, one in verdicts.items()}


def begun(project: Project, rig: Rig, *args: str) -> subprocess.Popen[str]:
    """A run on the cluster."""
    return project.start("run", "--cluster", rig.address, *args)


def left(rig: Rig) -> list[str]:
    """Containers and volumes of ours, and what of any run lies in a worker's cache."""
    found = [f"{host}: {one}" for host, some in rig.left().items() for one in some]
    return found + [str(one) for one in kept(rig)]


def kept(rig: Rig) -> list[Path]:
    """What of runs lies in the caches of workers."""
    return [
        one
        for host in rig.hosts.values()
        for one in (host.folder / "home/cache/distromatrix/cluster").glob("*/.distromatrix/*/*")
        if one.is_dir()
    ]


def lines(project: Project) -> list[dict[str, Any]]:
    """The journal of the latest run, as far as it is written."""
    found = []
    for line in project.journal().splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def under_way(project: Project, before: Path | None = None) -> None:
    """Wait until a cell of a run has begun that is not the one `before`."""

    def is_so() -> bool:
        begun = any(one["type"] == "cell-started" for one in lines(project))
        return begun and project.latest != before

    until(is_so)


def resumed(project: Project, rig: Rig) -> Ended:
    """The latest run goes on; what was done is not done again."""
    before = lines(project)
    done = {
        one["result"]["id"]
        for one in before
        if one["type"] == "cell-finished" and one["result"]["verdict"] in ("passed", "failed")
    }
    ended = project.call("run", "--cluster", rig.address, "--resume", "latest")
    more = lines(project)[len(before) :]
    started = {one["cell"] for one in more if one["type"] == "cell-started"}
    assert started == whole(project).keys() - done, ended.said
    return ended
