"""The workflow hands on the machines of cells that failed, if it is asked to."""

from __future__ import annotations

import json
import tarfile

import pytest
from workflow_world import World

from distromatrix.images.store.machine_file import opened_machine

MACHINE = "cells/one/cases/machine.tar"


@pytest.mark.parametrize("secrets", [{}, {"pass-env": "TOKEN=a secret"}])
def test_machines_are_handed_on_beside_the_answer_without_secrets(
    world: World, secrets: dict[str, str]
) -> None:
    runner = world.runner(selectors="one/cases", shards="1", export=True)
    runner.secrets = secrets
    _, shard, answer = runner.run()
    assert shard.result == "failure", shard.log
    artifacts = world.storage.artifacts
    (packed,) = (path for name, path in artifacts.items() if "-shard-" in name)
    with tarfile.open(packed / "run.tar.gz") as run:
        assert not [name for name in run.getnames() if name.endswith("machine.tar")]
    found = [path for name, path in artifacts.items() if "-machines-" in name]
    (cell,) = json.loads((artifacts["distromatrix"] / "results.json").read_text())["cells"]
    assert cell["verdict"] == "failed"
    if secrets:
        assert not found and "exported" not in cell
        assert "which --with-secrets would export, too" in shard.log
        return
    with opened_machine(found[0] / MACHINE) as opened:
        assert opened.about.cell == "one/cases"
    assert cell["exported"]["command"] == f"distromatrix shell --from {MACHINE}"
    assert "1 machine exported" in answer.summary


def test_no_machine_is_kept_unasked(world: World) -> None:
    _, shard, _ = world.call(selectors="one/cases", shards="1")
    assert shard.result == "failure"
    assert not [name for name in world.storage.artifacts if "machines" in name]
