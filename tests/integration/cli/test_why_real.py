"""Why the example fails where it does, by a real strace in real containers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from breaking_world import Project

pytestmark = pytest.mark.engine
EXAMPLE = Path(__file__).parents[3] / "examples/logtally"


def test_what_the_failing_command_uses_comes_first(project: Project) -> None:
    for name in ("matrix", "distros"):
        shutil.rmtree(project.root / name)
    ignored = shutil.ignore_patterns(".distromatrix")
    shutil.copytree(EXAMPLE, project.root, ignore=ignored, dirs_exist_ok=True)
    strict = ("-m", "matrix/strict.yaml")
    cells = [f"{name}/gnu" for name in ("debian-11", "debian-12", "alpine-3.20")]
    assert project.call("run", *strict, *cells).code == 1
    case = "gnu::names a checksum's algorithm"
    said = project.call("why", *strict, f"debian-11/gnu::{case}", "--json")
    assert said.code == 0, said.said
    told = json.loads(said.out)
    assert told["case"] == case
    assert told["passes_again"] is False
    assert told["traced"] == ["debian-11/gnu", "debian-12/gnu"]
    assert {"coreutils", "dash", "libc6"} <= {*told["opened"]}
    assert not {"strace", "apt", "busybox"} & {*told["opened"]}
    (group,) = told["groups"]
    first = group["differs"][0]
    assert first["about"] == "coreutils"
    assert first["evidence"] == ["output", "opened"]
    assert group["more"] > 0
    # Where strace is not to be had, what is opened where it passes still tells.
    said = project.call("why", *strict, "alpine-3.20/gnu")
    assert said.code == 0, said.said
    firsts = [line for line in said.out.splitlines() if line.startswith("  differs ")]
    assert firsts[0].startswith("  differs coreutils: busybox ")
    assert firsts[0].endswith("opened)")
    assert project.left() == []
