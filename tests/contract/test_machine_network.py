"""What of a network a container has: the way out, and to no other machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from distromatrix.engines.contract import LABEL_RUN, Command, Machine

from .conftest import IN_DOCKER, IN_PODMAN, Bench, bench_of, said

LISTEN = """nc -lk -p 7777 -e echo heard >/dev/null 2>&1 &
nc -lu -p 7778 >/udp 2>/dev/null &
n=0; until echo | nc -w 1 127.0.0.1 7777 | grep -q heard; do n=$((n+1)); [ $n -lt 100 ]; done
ip -4 -o addr show scope global | sed 's/.* inet //; s,/.*,,'"""
RAW, NODE, AUDIT = 1 << 13, 1 << 27, 1 << 29  # linux/capability.h


@pytest.fixture(
    params=[
        pytest.param("docker", marks=IN_DOCKER),
        pytest.param("podman", marks=IN_PODMAN),
    ]
)
def containers(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from bench_of(request)


def _addresses(machine: Machine) -> list[str]:
    done, out = said(machine, LISTEN, timeout=60)
    assert done.status == 0
    return out.decode().split()


@pytest.mark.parametrize("same_run", [True, False])
@pytest.mark.parametrize("privileges", [(), ("net-raw",)])
def test_machines_do_not_reach_each_other(
    containers: Bench, same_run: bool, privileges: tuple[str, ...]
) -> None:
    others = f"{containers.run}-other"
    one = containers.open(network=True)
    addresses = _addresses(one)
    assert addresses
    labels = dict(containers.labels) if same_run else {**containers.labels, LABEL_RUN: others}
    other = containers.open(network=True, labels=labels, privileges=privileges)
    for address in addresses:
        own = f"ip -4 -o addr | grep -q ' {address}/' || ping -c 1 -W 1 {address} >/dev/null"
        asks = f"echo x | nc -w 1 {address} 7777 & echo udp | nc -u -w 1 {address} 7778 &"
        script = f"{asks} {own}; pinged=$?; wait; exit $pinged"
        done, heard = said(other, script, strict=False, timeout=60)
        assert heard == b""
        pinged = done.status == 0
        # In user mode each network is like any other: then that address is its own.
        assert pinged == (address in said(other, "ip -4 -o addr")[1].decode())
    assert said(one, "cat /udp")[1] == b""
    one.close()
    other.close()
    replace(containers, run=others).clean()


def test_a_machine_reaches_what_its_host_does(containers: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("198.51.100.1", 9))  # nothing is sent
        host = asked.getsockname()[0]
    machine = containers.open(network=True)
    with socket.create_server(("0.0.0.0", 0)) as server:
        server.settimeout(30)
        port = server.getsockname()[1]
        # In the background: it ends when the connection does.
        machine.run(Command(f"echo x | nc {host} {port} >/dev/null 2>&1 &", timeout=30))
        connection, _ = server.accept()
        connection.close()
    assert said(machine, "grep -c ^nameserver /etc/resolv.conf")[1].strip() != b"0"
    machine.close()


def test_a_runs_network_goes_with_it(containers: Bench) -> None:
    stage = containers.stage()
    machines = [containers.open(stage, network=True), containers.open(network=True)]
    made = [one for one in containers.leftovers() if one.kind == "network"]
    assert len(made) <= (1 if containers.engine.name == "docker" else len(machines))
    for machine in machines:
        machine.close()
    stage.close()
    containers.engine.close()
    assert containers.leftovers() == ()


def test_a_network_that_was_left_is_found_and_removed_by_another_process(containers: Bench) -> None:
    containers.open(network=True)
    other = containers.again()
    for one in containers.leftovers():  # machines first
        other.remove(one)
        other.remove(one)
    assert containers.leftovers() == ()
    containers.open(network=True).close()  # one that somebody removed is made anew


def test_a_kept_machine_keeps_its_network(containers: Bench) -> None:
    stage = containers.stage()
    machine, other = containers.open(stage, network=True), containers.open(stage, network=True)
    machine.keep()
    other.close()
    stage.close()
    containers.engine.close()
    left = containers.leftovers()
    assert {one.kept for one in left} == {True}
    assert b"scope global" in said(containers.again().join(machine.address), "ip -4 addr")[1]


@pytest.mark.parametrize("privileges", [(), ("net-raw", "mknod", "audit-write")])
def test_root_has_three_capabilities_only_where_they_are_asked_for(
    containers: Bench, privileges: tuple[str, ...]
) -> None:
    machine = containers.open(privileges=privileges)
    found = said(machine, "sed -n 's/^Cap[PEB][a-z]*:\t//p' /proc/self/status")[1].split()
    wanted = RAW | NODE | AUDIT if privileges else 0
    assert [int(one, 16) & (RAW | NODE | AUDIT) for one in found] == [wanted] * 3
    made = machine.run(Command("mknod /null c 1 3 && echo x >/null")).status == 0
    if containers.engine.name == "docker" or os.geteuid() == 0:  # no user's own root may (mknod(2))
        assert made == bool(privileges)
    machine.close()
