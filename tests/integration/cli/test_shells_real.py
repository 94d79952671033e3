"""What the shells kept open leave, and survive, in real containers."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from time import monotonic, sleep

import pytest
from images_world import World, catalogued

from distromatrix.engines import open_engine
from distromatrix.engines.contract import LABEL_RUN, Command, Engine, Machine, MachineSpec
from distromatrix.errors import MachineGoneError
from distromatrix.load.settings import Settings

pytestmark = pytest.mark.engine
Opener = Callable[..., Machine]

# How many processes are LOOP's.
SHELLS = """count=0; for one in /proc/[0-9]*; do
  grep -q 'read -r _dm_[l]' $one/cmdline 2>/dev/null && count=$((count+1))
done; echo $count"""
GUEST = """
import sys, threading
from distromatrix.engines import open_engine
from distromatrix.engines.contract import Address, Command
engine, *words = sys.argv[1:]
machine = open_engine(engine).join(Address(name=words[0], id=words[1]))
commands = [threading.Thread(target=machine.run, args=(Command("sleep 0.5"),)) for _ in range(3)]
for one in commands: one.start()
for one in commands: one.join()
machine.run(Command("echo 1", strict=False))
machine.run(Command("echo 2", strict=False))
print("idle", flush=True)
threading.Event().wait()
"""


@pytest.fixture(params=["docker", pytest.param("podman", marks=pytest.mark.podman)])
def opener(request: pytest.FixtureRequest) -> Iterator[Opener]:
    engine = open_engine(request.param)
    image = request.getfixturevalue(f"{request.param}_alpine")
    yield from _opener(engine, image)


def _opener(engine: Engine, image: str) -> Iterator[Opener]:
    run = f"test-{secrets.token_hex(6)}"

    def open_(**other: object) -> Machine:
        name = f"distromatrix-test-{secrets.token_hex(6)}"
        values = {"name": name, "image": image, "network": False, "labels": {LABEL_RUN: run}}
        return engine.open(MachineSpec(**{**values, **other}))  # type: ignore[arg-type]

    yield open_
    for one in engine.leftovers():
        if one.run == run:
            engine.remove(one)
    assert [one for one in engine.leftovers() if one.run == run] == []
    engine.close()


def heard(machine: Machine, script: str, **how: object) -> tuple[int | None, bytes, bytes]:
    out: list[bytes] = []
    err: list[bytes] = []
    done = machine.run(Command(script, output=out.append, errors=err.append, **how))  # type: ignore[arg-type]
    return done.status, b"".join(out), b"".join(err)


def shells(machine: Machine) -> int:
    return int(heard(machine, SHELLS)[1])


def until(what: Callable[[], bool]) -> None:
    deadline = monotonic() + 30
    while not what():
        assert monotonic() < deadline, "it did not happen"
        sleep(0.05)


def test_a_killed_guest_leaves_no_shell(opener: Opener, request: pytest.FixtureRequest) -> None:
    machine = opener()
    alone = shells(machine)
    engine = request.node.callspec.params["opener"]
    with subprocess.Popen(
        [sys.executable, "-c", GUEST, engine, machine.name, machine.address.id],
        stdout=subprocess.PIPE,
    ) as guest:
        assert guest.stdout
        assert guest.stdout.readline() == b"idle\n"
        until(lambda: shells(machine) == alone + 3)
        guest.kill()
    until(lambda: shells(machine) == alone)
    machine.close()


def test_a_command_cannot_kill_the_shell_that_is_the_machines_first_process(
    opener: Opener,
) -> None:
    machine = opener()
    for strict in (True, False):
        assert heard(machine, "kill -9 $PPID; echo $PPID", strict=strict) == (0, b"1\n", b"")
    machine.close()


def test_a_fork_bomb_ends_with_its_timeout(opener: Opener) -> None:
    machine = opener(pids=64, cpus=0.5)
    began = monotonic()
    # What is refused a new process ends; others go on, and the first needs none.
    done = machine.run(Command("b() { while :; do b & done; }; b & while :; do :; done", timeout=3))
    assert done.timed_out
    if done.ended:
        with pytest.raises(MachineGoneError):
            machine.run(Command(":"))
    else:
        assert heard(machine, "echo on")[1] == b"on\n"
        assert shells(machine) == 1
    assert machine.running() == ""
    assert monotonic() - began < 90
    machine.close()


def test_bash_as_the_machines_sh() -> None:
    engine = open_engine("docker")
    image = World(engine, Settings()).images.base(catalogued("debian-12")).image.tag
    for open_ in _opener(engine, image):
        machine = open_()
        machine.run(Command("ln -sf bash /bin/sh"))
        guest = open_engine("docker").join(machine.address)
        assert heard(guest, 'echo "${BASH_VERSION:+bash} $0"')[1] == b"bash /bin/sh\n"
        for strict in (True, False):
            for status in (0, 3, 137, 255):
                script = f"printf 'a\\000\\377'; echo x >&2; exit {status}"
                assert heard(guest, script, strict=strict) == (status, b"a\0\xff", b"x\n")
            assert heard(guest, "kill -9 $$", strict=strict) == (137, b"", b"")
            assert heard(guest, "exec 0<&-; cat", strict=strict)[0] == 1
            assert b"_dm_" not in heard(guest, "set; alias; trap", strict=strict)[1]
            session = "read -r a b c d e f _ </proc/$$/stat; echo $$ $e $f"
            assert len(set(heard(guest, session, strict=strict)[1].split())) == 1
            assert guest.run(Command("sleep 4731", timeout=1, strict=strict)).timed_out
        assert machine.running() == ""
        guest.close()
        machine.close()
