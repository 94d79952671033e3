"""A cluster as a user meets it: `cluster check`, and `run --cluster`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cli_world import Cli, runs
from loopback_cluster import cluster

from distromatrix.cli.cluster import _lines
from distromatrix.plan.needs import GUESTS
from distromatrix.project import host
from distromatrix.project.host import HostSeen


def test_check_says_of_a_worker_what_it_has(cli: Cli) -> None:
    with cluster(1) as address:
        said = cli("cluster", "check", address)
        (worker,) = json.loads(cli("cluster", "check", "--json", address).out)
        other = cli("cluster", "check", worker["address"])
    assert said.code == 0, said.err
    for line in ("  images  none yet", "  can run cells", "1 of 1 worker can run cells"):
        assert line in said.out.splitlines()
    assert "--nthreads" in said.out
    assert worker["fault"] == ""
    assert worker["threads"] == 1
    assert worker["free"] > 0
    assert worker["resources"]["cpus"] >= 1000
    assert (other.code, other.out) == (69, "")
    assert "is that a scheduler, without TLS?" in other.err


def test_check_names_distros_and_not_what_else_lies_there() -> None:
    said = {
        **{"version": "1", "python": "3", "arch": "x86_64", "engine": "Docker", "threads": 1},
        **{"guests": {}, "kvm": "", "ready": ["box-02b266af", "debian-12"]},
        "resources": {"cpus": 1000, "memory": 1024},
    }
    seen = HostSeen(address="tcp://127.0.0.1:1", name="h", fault="", said=said)
    assert "  images  debian-12" in _lines(seen, {"debian-11", "debian-12"})


def test_a_worker_that_cannot_run_cells_is_told_with_the_reason(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(1) as address:
        monkeypatch.delenv("DISTROMATRIX_FAKE")
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        check = cli("cluster", "check", address)
        run = cli("run", "--cluster", address)
    assert check.code == run.code == 69
    assert "  cannot run cells: " in check.out
    assert "0 of 1 worker can run cells" in check.out
    assert f"no worker of {address} can run cells: " in run.err


def test_a_cluster_without_workers_runs_nothing_and_says_how_to_start_one(
    cli: Cli, project: Path
) -> None:
    with cluster(0) as address:
        check = cli("cluster", "check", address)
        run = cli("run", "--cluster", address)
    for said in (check, run):
        assert (said.code, said.out) == (69, "")
        assert f"`dask worker {address}`" in said.err
    assert not runs(project)


@pytest.mark.parametrize(
    "words", [["--keep", "failed"], ["--plan", "p.json"], ["--jobs", "2"], ["--engine", "podman"]]
)
def test_what_is_of_one_host_alone_is_refused_on_a_cluster(
    cli: Cli, project: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTROMATRIX_CLUSTER", "tcp://127.0.0.1:1")
    said = cli("run", *words)
    assert said.code == 2
    assert said.err.startswith(f"{words[0]}: ")
    assert "`--cluster ''` runs them on this host" in said.err
    assert not runs(project)


def test_here_is_where_cells_run_that_are_sent_nowhere(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTROMATRIX_CLUSTER", "tcp://127.0.0.1:1")
    assert cli("run", "--cluster", "", "--keep", "failed", "*/good").code == 0


def test_a_cell_that_wants_a_guest_is_told_of_at_once_where_no_host_has_any(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = "suites: {kernel: {run: 'true', needs: [own-kernel]}, good: {run: 'true'}}"
    (project / "matrix/default.yaml").write_text(f"distros: [one]\n{suite}\n")
    with (project / "distros/one.yaml").open("a") as distro:
        distro.write("guest: {bootstrap: {kernel: linux}}\n")
    without = {name: "no QEMU" for name in GUESTS}
    here = host.host_facts
    monkeypatch.setattr(host, "host_facts", lambda name: replace(here(name), guests=without))
    with cluster(1) as address:
        said = cli("run", "--cluster", address)
    assert said.code == 1
    assert "  needs own-kernel, which a container does not have; no qemu: no QEMU;" in said.out
    (folder,) = runs(project)
    cells = json.loads((folder / "results.json").read_text())["cells"]
    assert {cell["id"]: cell["verdict"] for cell in cells} == {
        "one/kernel": "skipped",
        "one/good": "passed",
    }


def test_to_other_hosts_goes_nothing_unencrypted_unless_that_is_asked_for(
    cli: Cli, project: Path
) -> None:
    with cluster(1) as address:
        elsewhere = address.replace("127.0.0.1", "0.0.0.0")  # leads here, and is no loopback
        refused = cli("run", "--cluster", elsewhere)
        assert not runs(project)
        done = cli("run", "--cluster", elsewhere, "--insecure-cluster", "*/good")
        here = cli("run", "--cluster", address, "*/good")
    assert refused.code == 2
    assert refused.err.startswith(f"{elsewhere} is not encrypted: ")
    assert done.code == here.code == 0
    assert f"warning: all goes unencrypted to {elsewhere}" in done.err
    assert "unencrypted" not in here.err


def test_a_run_says_on_which_host_what_failed_ran(cli: Cli, project: Path) -> None:
    with cluster(1) as address:
        said = cli("run", "--cluster", address)
    assert said.code == 1
    (folder,) = runs(project)
    cells = json.loads((folder / "results.json").read_text())["cells"]
    (host,) = {cell["host"] for cell in cells}
    assert f"  ran on  {host}: two/bad" in said.out
    assert f"<dt>Host</dt><dd>{host}</dd>" in (folder / "report.html").read_text()
