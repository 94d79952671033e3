"""The way out of Vagrant's guests: to the world, not to what listens on the host's loopback."""

from __future__ import annotations

import time

import pytest
from test_qemu_way_out import SECRET, listeners, outs
from test_vagrant_real import engine, spec, told

from distromatrix.engines.vagrant.engine import VagrantEngine

__all__ = ["engine", "listeners"]
pytestmark = [pytest.mark.engine, pytest.mark.guest]
_ASK = "exec 3<>/dev/tcp/{}/{}; cat <&3"


def asked(*places: tuple[str, int]) -> str:
    """A script that asks all these hosts and ports at once."""
    each = " & ".join(f"timeout 5 bash -c '{_ASK.format(*place)}' 2>&1" for place in places)
    return f"{each} & wait"


@pytest.mark.parametrize("network", [True, False])
def test_a_guest_reaches_the_world_if_it_may_and_never_the_hosts_loopback(
    engine: VagrantEngine, debian_system: str, listeners: dict[str, int], network: bool
) -> None:
    machine = engine.open(spec(debian_system, network=network))
    try:
        outer = next(one for one in listeners if one not in ("127.0.0.1", "::1"))
        assert (SECRET in told(machine, asked((outer, listeners[outer])))) == network
        gates = ("10.0.2.2", "10.0.2.3", "10.0.3.2", "10.0.3.3", "127.0.0.1", "fec0::2")
        inner = [port for address, port in listeners.items() if address != outer]
        told_there = told(machine, asked(*((gate, port) for gate in gates for port in inner)))
        assert SECRET not in told_there
        process = int(pid(engine, machine.name))
        assert len(outs(process)) == network
    finally:
        machine.close()
    until = time.monotonic() + 60
    while outs(process):
        assert time.monotonic() < until
        time.sleep(0.05)


def pid(engine: VagrantEngine, name: str) -> str:
    """Of its QEMU, as libvirt keeps it."""
    return (engine.home.libvirtd.folder / f"run/qemu/{name}.pid").read_text()
