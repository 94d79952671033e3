"""`--offline` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_world import Cli, runs


def test_without_the_images_nothing_starts_and_all_that_is_missing_is_told(
    cli: Cli, project: Path
) -> None:
    said = cli("run", "--offline")
    assert (said.code, said.out) == (69, "")
    assert "2 images not in the engine's store" in said.err
    assert "base image of one (pull docker.io/library/one:1), for one/good, one/bad" in said.err
    assert "`distromatrix images build one two`" in said.err
    assert not runs(project)


def test_with_the_images_a_run_goes_as_any_other(cli: Cli) -> None:
    assert cli("images", "build").code == 0
    said = cli("run", "--offline", "--json", "*/good")
    assert said.code == 0
    assert json.loads(said.out)["verdict"] == "passed"


def test_a_build_offline_sees_whether_all_is_here(cli: Cli, project: Path) -> None:
    assert cli("images", "build", "--offline").code == 69
    cli("images", "build", "one")
    assert cli("images", "build", "--offline", "one").code == 0
    assert not list((project / ".distromatrix/builds").iterdir())


def test_a_shell_offline_needs_the_image_too(cli: Cli) -> None:
    said = cli("shell", "--offline", "one/good")
    assert said.code == 69
    assert "base image of one" in said.err


@pytest.mark.parametrize(("value", "code"), [("1", 69), ("true", 69), ("0", 0), ("false", 0)])
def test_the_environment_sets_it_and_a_flag_beats_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, value: str, code: int
) -> None:
    monkeypatch.setenv("DISTROMATRIX_OFFLINE", value)
    assert cli("run", "one/good").code == code
    assert cli("run", "--no-offline", "one/good").code == 0


def test_a_value_that_is_none_is_a_mistake(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTROMATRIX_OFFLINE", "maybe")
    said = cli("run")
    assert said.code == 2
    assert "$DISTROMATRIX_OFFLINE: expected `true` or `false`" in said.err


def test_forced_and_offline_exclude_each_other(cli: Cli) -> None:
    said = cli("images", "build", "--offline", "--force")
    assert said.code == 2
    assert "--force cannot be combined with --offline" in said.err
