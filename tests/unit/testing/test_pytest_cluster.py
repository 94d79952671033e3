"""Cells of a session of pytest run on the hosts of a cluster, where the settings name one."""

from __future__ import annotations

import json

import pytest
from loopback_cluster import cluster
from pytest_world import World

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("more", [(), ("-n", "2")])
def test_cells_run_on_the_hosts_of_a_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    with cluster(1) as address:
        monkeypatch.setenv("DISTROMATRIX_CLUSTER", address)
        done = world.pytester.runpytest_subprocess("--distromatrix", *more, timeout=300)
    done.assert_outcomes(passed=4, failed=1)
    (results,) = world.root.glob(".distromatrix/runs/2*/results.json")
    cells = json.loads(results.read_text())["cells"]
    assert len(cells) == 4
    assert all(cell["host"] for cell in cells)


def test_a_cluster_without_workers_ends_the_session_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(0) as address:
        monkeypatch.setenv("DISTROMATRIX_CLUSTER", address)
        done = world.pytester.runpytest_subprocess("--distromatrix")
        assert done.ret == 69
        done.stdout.fnmatch_lines([f"*the cluster at {address} has no workers: *dask worker*"])


def test_a_session_sends_nothing_unencrypted_unless_that_is_set(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(1) as address:
        elsewhere = address.replace("127.0.0.1", "0.0.0.0")  # leads here, and is no loopback
        monkeypatch.setenv("DISTROMATRIX_CLUSTER", elsewhere)
        refused = world.pytester.runpytest_subprocess("--distromatrix")
        monkeypatch.setenv("DISTROMATRIX_INSECURE_CLUSTER", "1")
        done = world.pytester.runpytest_subprocess("--distromatrix", timeout=300)
    assert refused.ret == 4
    refused.stderr.fnmatch_lines(["*is not encrypted*DISTROMATRIX_INSECURE_CLUSTER=1*"])
    done.assert_outcomes(passed=4, failed=1)
    done.stdout.fnmatch_lines([f"*all goes unencrypted to {elsewhere}*"])


def test_a_session_without_cells_needs_no_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTROMATRIX_CLUSTER", "tcp://127.0.0.1:1")
    world.pytester.runpytest_subprocess("tests").assert_outcomes(passed=1)


def test_machines_of_tests_are_this_hosts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    test = "def test_shell(machine): assert machine.run('echo a').stdout == 'a\\n'\n"
    (world.root / "tests/test_own.py").write_text(test)
    monkeypatch.setenv("DISTROMATRIX_CLUSTER", "tcp://127.0.0.1:1")
    world.pytester.runpytest_subprocess("tests").assert_outcomes(passed=2)


def test_machines_on_other_hosts_cannot_be_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(1) as address:
        monkeypatch.setenv("DISTROMATRIX_CLUSTER", address)
        done = world.pytester.runpytest_subprocess("--distromatrix", "--distromatrix-keep=failed")
    assert done.ret == 4
    done.stdout.fnmatch_lines(["*--distromatrix-keep: machines on a cluster's hosts cannot*"])
