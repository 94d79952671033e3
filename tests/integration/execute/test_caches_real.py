"""`caches:` on real engines: what is kept between runs, for whom, and how it goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from breaking_world import Project, killed, until

from distromatrix.engines import open_engine
from distromatrix.engines.caches import owner
from distromatrix.project.project import host_facts
from given import alpine_or_pulled, unobtainable

pytestmark = pytest.mark.engine

ADD = 'echo "$DISTROMATRIX_CELL" >>~/.cache/tool/said; cat ~/.cache/tool/said'
TOOL = {"tool": "~/.cache/tool"}


BOTH = pytest.mark.parametrize(  # the tests below have Docker
    "project",
    [
        pytest.param("docker", marks=pytest.mark.slow),
        pytest.param("podman", marks=pytest.mark.podman),
    ],
    indirect=True,
)


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    engine = getattr(request, "param", "docker")
    made = Project(tmp_path / "p", alpine_or_pulled().parent, engine=engine)
    made.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    yield made
    made.call("clean", "--caches")
    made.clean()


def caches(project: Project) -> list[str]:
    """Those of this project on the engine."""
    engine = open_engine(project.engine)
    try:
        there = engine.caches.list(owner())
        return [one.name for one in there if one.project == str(project.root.resolve())]
    finally:
        engine.close()


def run(project: Project, *args: str, **suites: Any) -> dict[str, str]:
    """What the suites of a run have printed; all of them passed."""
    if suites:
        project.suites({n: {"caches": TOOL, **suite} for n, suite in suites.items()})
    done = project.call("run", *args)
    assert done.code == 0, done.said
    return {name: project.log(name) for name in project.results()}


@BOTH
def test_a_cache_is_kept_for_cells_of_the_same_user_and_for_prepare(project: Project) -> None:
    tool = project.root / "setup.sh"
    tool.write_text("echo prepare >>/root/.cache/tool/said; ls -A /root/.cache/tool >/layer\n")
    prepare = {"files": ["setup.sh"], "run": "sh setup.sh"}
    first = run(
        project,
        "-j1",
        a={"run": f"{ADD}; cat /layer", "prepare": prepare},
        b={"run": f"{ADD}; ls -And ~/.cache ~/.cache/tool", "user": "builder"},
        c={"run": f"{ADD}; ls -And ~/.cache ~/.cache/tool", "user": "4321:4321"},
    )
    cell = project.distro
    assert first["a"].splitlines() == ["prepare", f"{cell}/a", "said"]
    for name, uid in (("b", "1000"), ("c", "4321")):
        said, *folders = first[name].splitlines()
        assert said == f"{cell}/{name}"
        assert [line.split()[2:4] for line in folders] == [[uid, uid]] * 2, folders
    assert run(project)["b"].splitlines()[:2] == [f"{cell}/b"] * 2

    # What it holds is in no layer, and a change of the layer finds it again.
    tool.write_text(tool.read_text() + "# changed\n")
    assert run(project, "*/a")["a"].splitlines() == [
        *("prepare", f"{cell}/a", f"{cell}/a", "prepare", f"{cell}/a", "said")
    ]
    assert len(caches(project)) == 3


def test_without_caches_a_cell_and_its_layer_have_nothing_of_them(project: Project) -> None:
    here = "[ ! -e ~/.cache/tool ] && [ ! -e /layer ]"
    prepare = "[ ! -e ~/.cache/tool ] || touch /layer"
    run(project, a={"run": "touch ~/.cache/tool/x", "prepare": prepare})
    project.suites({"a": {"run": here, "prepare": prepare, "caches": TOOL}})
    assert project.call("run").code == 1
    assert project.call("run", "--no-cache").code == 0


@pytest.mark.parametrize(
    "project",
    ["docker", pytest.param("podman", marks=(pytest.mark.podman, pytest.mark.slow))],
    indirect=True,
)
def test_a_pull_requests_run_has_a_copy_and_leaves_the_cache_as_it_is(project: Project) -> None:
    change = (
        "cat ~/.cache/tool/said || :; echo stranger >~/.cache/tool/said; cat ~/.cache/tool/said"
    )
    suite = {"run": change, "prepare": "echo layer >>/root/.cache/tool/said"}
    project.environ["GITHUB_EVENT_NAME"] = "pull_request_target"
    assert run(project, a=suite)["a"].splitlines()[-1] == "stranger"
    assert caches(project) == []
    project.environ["GITHUB_EVENT_NAME"] = "push"
    assert run(project, a={"run": ADD})["a"] == f"{project.distro}/a\n"
    project.environ["GITHUB_EVENT_NAME"] = "pull_request"
    assert run(project, a=suite)["a"].splitlines() == [f"{project.distro}/a", "stranger"]
    project.environ["GITHUB_EVENT_NAME"] = "push"
    assert run(project, a={"run": ADD})["a"].splitlines() == [f"{project.distro}/a"] * 2
    assert project.left() == []


def test_a_link_in_the_place_of_a_cache_is_the_cells_fault(project: Project) -> None:
    project.suites({"a": {"run": "true", "prepare": "true", "caches": {"tool": "/var/run/tool"}}})
    assert project.call("run").code == 69
    assert "/var/run is a link" in project.results()["a"]["reason"]


def test_what_is_killed_keeps_nobody_from_the_cache(project: Project) -> None:
    project.suites({"a": {"run": f"{ADD}; flock ~/.cache/tool sleep 100", "caches": TOOL}})
    until_log = project.root / ".distromatrix/runs/latest/cells" / project.distro / "a/log.txt"
    process = project.start("run")
    until(until_log.exists)
    until(lambda: f"{project.distro}/a" in project.log("a"))
    killed(process)
    again = run(project, a={"run": f"flock -n ~/.cache/tool true && {ADD}"})
    assert again["a"].splitlines() == [f"{project.distro}/a"] * 2


def test_caches_are_measured_and_go_when_they_are_unwanted(project: Project) -> None:
    fill = "dd if=/dev/zero of=$HOME/.cache/tool/big bs=1M count=8 2>/dev/null"
    run(project, a={"run": fill})
    (kept,) = caches(project)
    engine = open_engine("docker")
    assert 8 << 20 <= (engine.caches.size(kept) or 0) < 9 << 20
    engine.close()
    said = project.call("clean", "--dry-run").out
    assert "MiB of caches (`clean --caches` removes this project's)" in said
    assert f"would remove cache {kept}" in project.call("clean", "--dry-run", "--caches").out
    assert f"removed cache {kept}" in project.call("clean", "--caches").out
    assert caches(project) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees what is in a volume")
def test_what_is_written_to_a_cache_counts_as_the_cells(project: Project) -> None:
    fill = "while :; do dd if=/dev/zero bs=1M count=20 >>~/.cache/tool/big; sleep 0.2; done"
    project.suites({"a": {"run": fill, "caches": TOOL, "disk": "64M"}})
    assert project.call("run").code == 1
    assert "wrote more than its disk: 64M" in project.results()["a"]["reason"]


IN_GUEST = """\
cd ~/.cache/tool; cat said 2>/dev/null && exit
echo guest >said; chmod 4755 said; mknod disk b 8 0; ln -s /etc/passwd link; ls -And . ..
"""


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "need"),
    [("qemu", "own-kernel"), ("vagrant", "init")],
)
def test_guests_and_containers_have_the_same_caches_and_no_devices_in_them(
    engine: str, need: str, tmp_path: Path
) -> None:
    if why := host_facts().guests[engine]:
        unobtainable(why)
    project = Project(tmp_path / "p", alpine_or_pulled().parent)
    both = {"caches": TOOL, "user": "root"}
    look = "cd ~/.cache/tool; cat said; echo container >>said; ls -A; test ! -u said"
    project.suites(
        {
            "guest": {**both, "run": IN_GUEST, "needs": [need]},
            "plain": {**both, "run": look},
            "carried": {
                **both,
                "setup": {
                    "in": "container",
                    "run": "cd ~/.cache/tool; echo setup >>said; cat said",
                },
                "run": "cat ~/.cache/tool/said",
                "needs": [need],
            },
        },
        distros=["debian-12"],
        defaults={"network": False, "memory": "512M", "timeout": "5m"},
    )
    project.environ["XDG_CACHE_HOME"] = os.environ.get("XDG_CACHE_HOME", "")
    try:
        for suite, expected in (
            ("guest", ["0 0", "0 0"]),
            ("plain", ["guest", "link", "said"]),
            ("carried", ["guest", "container", "setup"] * 2),
            ("guest", ["guest", "container", "setup"]),
        ):
            done = project.call("run", f"*/{suite}")
            assert done.code == 0, done.said
            assert project.results()[suite]["engine"] == ("docker" if suite == "plain" else engine)
            file = project.latest / "cells/debian-12" / suite / "log.txt"
            lines = [line for line in file.read_text().splitlines() if "---" not in line]
            said = [" ".join(line.split()[2:4]) if line[0] == "d" else line for line in lines]
            assert said == expected
    finally:
        project.call("clean", "--caches")
        project.clean()
