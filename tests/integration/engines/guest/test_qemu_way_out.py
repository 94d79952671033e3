"""The way out of direct guests: to the world, not to what listens on the host's loopback."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from test_qemu_real import Guests, engine, guests, told

from distromatrix.engines.qemu import process as qemu_process

__all__ = ["engine", "guests"]
pytestmark = [pytest.mark.engine, pytest.mark.guest]
SECRET = "nobody's business"


@pytest.fixture
def listeners() -> Iterator[dict[str, int]]:
    """Ports at which something on the host says a word: by the address that it listens on."""
    made: dict[str, socket.socket] = {}
    outer = address_of_the_host()
    for address in ("127.0.0.1", "::1", outer):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with suppress(OSError):  # a host may have no IPv6
            made[address] = socket.create_server((address, 0), family=family)
            Thread(target=serve, args=(made[address],), daemon=True).start()
    yield {address: one.getsockname()[1] for address, one in made.items()}
    for one in made.values():
        one.close()


def address_of_the_host() -> str:
    """One that is no loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.1", 9))
        return str(one.getsockname()[0])


def serve(listener: socket.socket) -> None:
    while True:
        try:
            one, _ = listener.accept()
        except OSError:
            return
        with one, suppress(OSError):
            one.sendall(SECRET.encode())


def test_a_guest_reaches_the_world_and_not_the_hosts_loopback(
    guests: Guests, listeners: dict[str, int]
) -> None:
    machine = guests(network=True)
    ask = "/distromatrix/guest/busybox timeout 5 /distromatrix/guest/busybox nc {} {} </dev/null"
    outer = next(one for one in listeners if one not in ("127.0.0.1", "::1"))
    assert SECRET in told(machine, ask.format(outer, listeners[outer]))
    inner = [listeners[one] for one in ("127.0.0.1", "::1") if one in listeners]
    gates = ("10.0.2.2", "10.0.2.3", "10.0.3.2", "10.0.3.3", "127.0.0.1", "fec0::2")
    asked = [ask.format(gate, port) for gate in gates for port in inner]
    assert SECRET not in told(machine, f"{{ {' & '.join(asked)} & wait; }} 2>&1")


def test_its_names_resolve_as_the_hosts(guests: Guests) -> None:
    """Its resolver answers, whatever it knows."""
    machine = guests(network=True)
    said = told(machine, "/distromatrix/guest/busybox nslookup localhost. 10.0.2.3 2>&1 || :")
    assert "timed out" not in said
    assert "10.0.2.3" in said


def test_no_way_out_stays_behind_a_killed_guest(guests: Guests) -> None:
    machine = guests(network=True)
    process = {f.name: pid for f, pid in qemu_process.running().items()}[machine.name]
    assert len(outs(process)) == 1
    os.kill(process, 9)
    until = time.monotonic() + 60
    while outs(process):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_opening_it_unmounts_nothing_on_the_host(shared_mount: Path, guests: Guests) -> None:
    guests(network=True)
    assert shared_mount.is_mount()


@pytest.fixture
def shared_mount(tmp_path: Path) -> Iterator[Path]:
    """A mount on one that is shared with other namespaces, as a container's root on Docker."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount, and only root's slirp4netns could unmount")
    folder, inner = tmp_path / "shared", tmp_path / "shared/inner"
    inner.mkdir(parents=True)
    call = functools.partial(subprocess.run, check=True)
    call(["mount", "--bind", folder, folder])
    try:
        call(["mount", "--make-shared", folder])
        call(["mount", "-t", "tmpfs", "inner", inner])
        yield inner
    finally:
        call(["umount", "--recursive", folder])


def outs(process: int) -> list[str]:
    """The slirp4netns of that process."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = one.read_bytes().split(b"\0")
            if words[0] == b"slirp4netns" and str(process).encode() in words:
                found.append(one.parent.name)
    return found


def test_a_guest_without_a_network_needs_none_of_it(
    guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distromatrix.engines.guest.way_out._NEEDED", ("no-such-program",))
    assert told(guests(network=False), "echo fine") == "fine"
