"""What a user lists, prunes and cleans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_world import Cli, runs

from distromatrix.errors import InfrastructureError


def test_images_are_built_listed_and_pruned(cli: Cli) -> None:
    assert cli("images", "build", "one/good").out.startswith(
        "one/good: distromatrix/base:one-pull-"
    )
    (row,) = json.loads(cli("images", "list", "--json").out)
    assert (row["kind"], row["distro"], row["source"]) == ("base", "one", "pull")
    assert cli("images", "prune", "--older", "7d").out == ""
    assert cli("images", "prune", "--all").out == f"removed base {row['tag']}\n"
    assert json.loads(cli("images", "list", "--json").out) == []


def test_clean_says_what_it_would_remove_and_removes_it(cli: Cli, project: Path) -> None:
    cli("run", "one/good")
    (folder,) = runs(project)
    assert cli("clean").out == ""  # the newest runs stay
    assert f"would remove folder {folder}" in cli("clean", "--all", "--dry-run").out
    assert folder.exists()
    assert f"removed folder {folder}" in cli("clean", "--all").out
    assert not runs(project)
    assert json.loads(cli("images", "list", "--json").out) == []


def test_what_cannot_be_removed_keeps_clean_from_nothing_else(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("run", "one/good")
    (folder,) = runs(project)

    def stuck(*_: object) -> None:
        raise InfrastructureError("it is stuck")

    monkeypatch.setattr("fake_engine.images.FakeImages.remove", stuck)
    said = cli("clean", "--all")
    assert (said.code, folder.exists()) == (69, False)
    assert said.err.splitlines()[-1] == "it is stuck"
