"""A container with systemd as process 1, where `privileges: [init]` allows it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from distromatrix.engines import open_engine
from distromatrix.engines.contract import LABEL_RUN, Command, Engine, Machine, MachineSpec
from distromatrix.errors import CannotStartError

pytestmark = pytest.mark.engine


@pytest.fixture
def docker() -> Iterator[Engine]:
    engine = open_engine("docker")
    yield engine
    engine.close()


def spec(image: str, **other: object) -> MachineSpec:
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    values = {"name": name, "image": image, "labels": {LABEL_RUN: name}, "privileges": ("init",)}
    return MachineSpec(**{**values, **other})  # type: ignore[arg-type]


def told(machine: Machine, script: str) -> str:
    lines: list[bytes] = []
    done = machine.run(Command(script, output=lines.append, timeout=60))
    text = b"".join(lines).decode()
    assert done.status == 0, text
    return text.strip()


UNIT = """cat >/run/systemd/system/u.service <<'END'
[Service]
Type=oneshot
ExecStart=/bin/sh -c "echo ran >/ran"
END
systemctl daemon-reload
systemctl start u.service
cat /proc/1/comm /ran"""


def test_units_run_in_it_and_commands_are_the_users(docker: Engine, system_image: str) -> None:
    machine = docker.open(spec(system_image))
    try:
        assert told(machine, UNIT) == "systemd\nran"
        assert told(machine, "[ ! -e /sys/fs/cgroup/distromatrix ]; id -u") == "0"
        hung = machine.run(Command("sleep 4799", timeout=1))
        assert (hung.timed_out, hung.ended) == (True, False)
        assert "sleep 4799" in hung.hung
        assert told(machine, "echo on") == "on"
    finally:
        machine.close()
    other = docker.open(spec(system_image, user="1234:4321"))
    try:
        assert told(other, "id -u; cat /proc/1/comm") == "1234\nsystemd"
    finally:
        other.close()


def test_any_init_system_will_do(docker: Engine, docker_alpine: str) -> None:
    machine = docker.open(spec(docker_alpine))
    try:
        assert told(machine, "cat /proc/1/comm") == "init"
    finally:
        machine.close()


def test_an_image_without_an_init_system_says_so(docker: Engine, docker_alpine: str) -> None:
    tag = f"distromatrix/test-init:{secrets.token_hex(6)}"
    machine = docker.open(spec(docker_alpine, privileges=()))
    try:
        assert machine.run(Command("rm /sbin/init")).status == 0
        docker.images.commit(machine.address.id, tag, {})
    finally:
        machine.close()
    one = spec(tag)
    try:
        with pytest.raises(CannotStartError, match="/sbin/init"):
            docker.open(one)
    finally:
        docker.images.remove(tag)
    assert one.name not in {left.name for left in docker.leftovers()}
