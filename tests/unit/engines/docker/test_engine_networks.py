"""Which network a container gets, and what is made of an engine's refusals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import requests
from docker.errors import APIError, NotFound

from distromatrix.engines.contract import LABEL_RUN, MachineSpec
from distromatrix.engines.docker.connection.api import Api
from distromatrix.engines.docker.dialect import DOCKER, Dialect, dialect_of
from distromatrix.engines.docker.network import Networks
from distromatrix.errors import InfrastructureError

PODMAN = dialect_of({"Libpod-Api-Version": "4.3.1"})
FULL = "could not find an available, non-overlapping IPv4 address pool among the defaults"
OVERLAPS = "Pool overlaps with other one on this address space"
ICC = "com.docker.network.bridge.enable_icc"
MTU = "com.docker.network.driver.mtu"


@dataclass
class Client:
    """What of an engine's API networks take. `refuses`: what it says to the first that come."""

    refuses: list[str] = field(default_factory=list)
    bridge: dict[str, Any] | None = None
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    api_version: str = "1.41"

    def inspect_network(self, name: str) -> dict[str, Any]:
        if self.bridge is None:
            raise NotFound(f"no network {name}")
        return self.bridge

    def create_network(self, name: str, **how: Any) -> dict[str, str]:
        if self.refuses:
            response = requests.Response()
            response.status_code = 400 if "name" in self.refuses[0] else 500
            raise APIError("", response, self.refuses.pop(0))
        made = hashlib.sha256(name.encode()).hexdigest()
        self.made[made] = {**how, "name": name}
        return {"Id": made}

    base_url = "http://podman"

    def post(self, url: str, json: dict[str, Any]) -> Answer:
        assert url.endswith("/libpod/networks/create")
        return Answer(self, json)

    def _raise_for_status(self, answer: Answer) -> None:
        answer.made = self.create_network(**answer.asked)

    def remove_network(self, name: str) -> None:
        del self.made[name]


@dataclass
class Answer:
    client: Client
    asked: dict[str, Any]
    made: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, str]:
        return {"id": self.made["Id"]}


@dataclass
class Door:
    client: Client
    dialect: Dialect

    @contextmanager
    def calling(self, doing: str) -> Iterator[Client]:
        try:
            yield self.client
        except APIError as error:
            raise InfrastructureError(f"cannot {doing}: {error.explanation}") from error


def networks(client: Client, dialect: Dialect = DOCKER) -> Networks:
    return Networks(cast("Api", Door(client, dialect)))


def mode(of: Networks, run: str = "r", *, network: bool = True) -> str:
    labels = {LABEL_RUN: run} if run else {}
    return of._mode(MachineSpec(name="distromatrix-x", image="i", labels=labels, network=network))


def test_machines_of_a_run_share_a_network_without_traffic_between_them() -> None:
    client = Client(bridge={"Options": {MTU: "1400", "x": "y"}, "EnableIPv6": True})
    ours = networks(client)
    first = mode(ours)
    assert mode(ours) == first != mode(ours, "other")
    how = client.made[first]
    assert how["options"] == {MTU: "1400", ICC: "false"}
    assert how["labels"] == {LABEL_RUN: "r"}
    assert how["name"].startswith("container:distromatrix-network-")
    assert "enable_ipv6" not in how  # before 27 Docker must be told addresses for it
    ours.end("r")
    ours.close()
    assert client.made == {}


def test_it_has_ipv6_where_the_engines_own_has_and_the_engine_finds_the_addresses() -> None:
    client = Client(bridge={"Options": None, "EnableIPv6": True}, api_version="1.46")
    ours = networks(client)
    assert client.made[mode(ours)]["enable_ipv6"] is True


def test_none_is_made_for_machines_without_a_network_and_without_a_run() -> None:
    client = Client()
    ours = networks(client)
    assert mode(ours, network=False) == "none"
    assert mode(ours, "") == "bridge"
    assert client.made == {}


def test_an_engine_that_has_no_addresses_left_is_told_some() -> None:
    client = Client(refuses=[FULL, OVERLAPS])
    how = client.made[mode(networks(client))]
    (pool,) = how["ipam"]["Config"]
    assert pool["Subnet"].startswith(("198.18.", "198.19."))
    assert pool["Subnet"].endswith(".0/24")


def test_an_engine_that_refuses_its_name_gets_another() -> None:
    client = Client(refuses=["invalid name"])
    name = client.made[mode(networks(client))]["name"]
    assert name.startswith("distromatrix-network-")


def test_another_refusal_is_told_and_the_next_machine_tries_again() -> None:
    client = Client(refuses=["not today"])
    ours = networks(client)
    with pytest.raises(InfrastructureError, match="a network for the machines of a run: not today"):
        mode(ours)
    assert mode(ours) in client.made


def test_where_a_kernel_keeps_no_containers_apart_each_has_a_network() -> None:
    said = "cannot restrict inter-container communication: please load br_netfilter"
    client = Client(refuses=[said])
    ours = networks(client)
    with pytest.raises(InfrastructureError) as refused:
        mode(ours)
    assert ours.learn(str(refused.value))
    names = {mode(ours), mode(ours)}
    assert names == set(client.made)
    assert len(names) == 2
    assert all(ICC not in how["options"] for how in client.made.values())
    ours.close()
    assert client.made == {}


def test_a_network_that_somebody_has_removed_is_made_anew() -> None:
    ours = networks(Client())
    first = mode(ours)
    assert not ours.learn("network other not found")
    assert ours.learn(f"cannot start x: network {first} not found")
    assert mode(ours) != first


def test_podmans_machines_have_user_mode_networks_or_isolated_ones_of_their_own() -> None:
    client = Client()
    ours = networks(client, PODMAN)
    assert mode(ours) == mode(ours, "") == "slirp4netns:enable_ipv6=false"
    assert client.made == {}
    assert ours.learn("could not find slirp4netns, the network namespace can't be configured")
    names = {mode(ours), mode(ours)}
    made = [(how["options"], how["dns_enabled"]) for how in client.made.values()]
    assert made == [({"isolate": "true"}, False)] * 2
    assert names == set(client.made)
    client.refuses = ["unsupported bridge network option isolate"]
    with pytest.raises(InfrastructureError, match="install slirp4netns or netavark"):
        mode(ours)
