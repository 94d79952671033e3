"""A real guest of Vagrant's: what a whole system has that neither a container nor a direct guest
gives, and that what it leaves is found."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from distromatrix.engines.base import (
    LABEL_FOLDER,
    LABEL_HOST,
    LABEL_RUN,
    Machine,
    MachineSpec,
)
from distromatrix.engines.docker import DockerEngine
from distromatrix.engines.vagrant import VagrantEngine

pytestmark = [pytest.mark.engine, pytest.mark.guest]


def spec(image: str, **other: object) -> MachineSpec:
    """A machine of a run of its own, with as much memory as all tests here ask for."""
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    labels = {LABEL_RUN: name, LABEL_FOLDER: "/nowhere", LABEL_HOST: "host"}
    values = {"name": name, "image": image, "labels": labels, "memory": 1024**3, **other}
    return MachineSpec(**values)  # type: ignore[arg-type]


@pytest.fixture
def engine() -> Iterator[VagrantEngine]:
    """Ours, with the user's templates."""
    containers = DockerEngine()
    made = VagrantEngine(containers)
    yield made
    made.close()
    containers.close()


def told(machine: Machine, script: str) -> str:
    """What a script prints in a machine; it must succeed."""
    lines: list[bytes] = []
    done = machine.run(script, output=lines.append, timeout=120)
    text = b"".join(lines).decode()
    assert done.status == 0, text
    return text.strip()


def test_two_guests_are_whole_systems_and_share_nothing(
    engine: VagrantEngine, debian_system: str
) -> None:
    one, two = (engine.open(spec(debian_system)) for _ in range(2))
    try:
        assert told(one, "cat /proc/1/comm; modprobe loop; systemctl is-active ssh.service") == (
            "systemd\nactive"
        )
        assert told(one, "sysctl -qw kernel.panic_on_oops=1; echo mine >/mine; id -u") == "0"
        assert told(two, "[ ! -e /mine ] && cat /proc/sys/kernel/panic_on_oops") == "0"
        draws = [told(m, "head -c 16 /dev/urandom | od -An -tx1") for m in (one, two)]
        assert draws[0] != draws[1]
        assert {left.name for left in engine.leftovers()} >= {one.name, two.name}
    finally:
        one.close()
        two.close()
    assert not {left.name for left in engine.leftovers()} & {one.name, two.name}
    domains = engine.libvirtd("list", "--all", "--name").split()
    assert not {one.name, two.name} & set(domains)
