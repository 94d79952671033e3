"""On which workers of a cluster cells can run, by what these answer, and what is said of others."""

from __future__ import annotations

from typing import Any

import pytest

from distromatrix import __version__
from distromatrix.cluster.connection import opened_cluster
from distromatrix.errors import EngineUnavailableError, InputError
from distromatrix.project.hosts import Hosts

ADDRESS = "tls://192.0.2.7:1"
FIRST = "tls://192.0.2.1:1"
FINE = {"version": __version__, "host": "h7", "arch": "x86_64", "fault": "", "resources": {}}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (FINE, ""),
        (FINE | {"version": "0.0.1"}, f"has distromatrix 0.0.1, and this is {__version__}"),
        (FINE | {"arch": "aarch64"}, "is aarch64, and the other hosts are x86_64"),
        (FINE | {"fault": "no engine answers"}, "no engine answers"),
        (ModuleNotFoundError("distromatrix"), "distromatrix is not installed there"),
        (OSError("lost\nit"), "lost"),
    ],
    ids=["fine", "version", "architecture", "engine", "not-installed", "lost"],
)
def test_what_a_worker_answers_says_whether_cells_run_there(answer: Any, fault: str) -> None:
    hosts = Hosts("tls://192.0.2.1:8786")
    hosts.hear([FIRST], {FIRST: FINE})
    (host,) = hosts.hear([FIRST, ADDRESS], {ADDRESS: answer})
    assert (host in hosts.fit) == (not host.fault)
    assert host.fault.startswith(fault)
    assert bool(host.fault) == bool(fault)
    assert "\n" not in host.fault


def test_without_a_worker_or_a_fit_one_it_is_told_at_once() -> None:
    hosts = Hosts(ADDRESS)
    with pytest.raises(EngineUnavailableError, match="has no workers: start one"):
        hosts.require()
    hosts.hear([ADDRESS], {ADDRESS: FINE | {"fault": "no engine answers"}})
    with pytest.raises(EngineUnavailableError, match="can run cells: h7: no engine answers"):
        hosts.require()


def test_nothing_goes_in_the_clear_to_other_hosts() -> None:
    with pytest.raises(InputError, match="is not encrypted"), opened_cluster("tcp://192.0.2.1:1"):
        pass
