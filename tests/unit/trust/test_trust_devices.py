"""Disks and memory that no machine is given."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_world import Cli

from distromatrix.trust import devices


def test_disks_that_the_host_uses_and_its_memory_are_given_to_nobody(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimpleNamespace(st_mode=stat.S_IFBLK, st_rdev=os.makedev(240, 7))
    memory = SimpleNamespace(st_mode=stat.S_IFCHR, st_rdev=os.makedev(1, 1))
    nodes = {"/dev/disk": disk, "/dev/memory": memory}
    monkeypatch.setattr(devices, "_used", lambda: {"240:7"})
    monkeypatch.setattr(devices, "_nodes", lambda path: [_Node(str(path), nodes[str(path)])])
    monkeypatch.setenv("DISTROMATRIX_TRUST", "all")
    for name in nodes:
        with (project / "matrix/default.yaml").open("a") as file:
            file.write(f"defaults: {{privileges: [{name}]}}\n")
        said = cli("run", "one/good")
        assert said.code == 2
        assert "which no machine is given" in said.err
        matrix = project / "matrix/default.yaml"
        matrix.write_text("".join(matrix.read_text().splitlines(keepends=True)[:-1]))
    assert devices._parts("240:7")


class _Node:
    def __init__(self, path: str, found: object) -> None:
        self._path, self._found = path, found

    def stat(self) -> object:
        return self._found

    def __str__(self) -> str:
        return self._path


def test_the_hosts_disks_are_found() -> None:
    root = Path("/").stat().st_dev
    assert f"{os.major(root)}:{os.minor(root)}" in devices._used()
