"""What a container is given: no more than was asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from distromatrix.engines.contract import MachineSpec
from distromatrix.engines.docker.dialect import DOCKER
from distromatrix.engines.docker.spec import FORCE, Limits, create_body
from distromatrix.errors import CannotStartError

HOST = Limits(cpus=2, apparmor=True)


def _host_config(**spec: Any) -> dict[str, Any]:
    machine = MachineSpec(name="distromatrix-x", image="i", **spec)
    body = create_body(machine, HOST, network="of-its-run" if machine.network else "none")
    config: dict[str, Any] = body["HostConfig"]
    return config


def test_by_default_nothing_is_given_and_all_is_bounded() -> None:
    config = _host_config(cpus=64, memory=1024**3, pids=99, network=False)
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert (config["CapAdd"], config["Devices"], config["Mounts"]) == ([], [], [])
    assert config["CapDrop"] == ["NET_RAW", "MKNOD", "AUDIT_WRITE"]
    assert "Privileged" not in config
    assert "Binds" not in config
    assert "ReadonlyPaths" not in config
    assert (config["Memory"], config["MemorySwap"]) == (1024**3, 1024**3)
    assert (config["NanoCpus"], config["PidsLimit"]) == (2_000_000_000, 99)
    assert config["NetworkMode"] == "none"
    assert config["LogConfig"] == {"Type": "none"}


def test_each_privilege_gives_its_own_and_no_other() -> None:
    mount = _host_config(privileges=("mount",))
    assert mount["CapAdd"] == ["SYS_ADMIN"]
    assert mount["SecurityOpt"] == ["no-new-privileges", "apparmor=unconfined"]
    assert mount["CgroupnsMode"] == "private"
    sysctl = _host_config(privileges=("sysctl",))
    assert sysctl["CapAdd"] == ["NET_ADMIN"]
    assert "/proc/sys/kernel" in sysctl["ReadonlyPaths"]
    assert not {"/proc/sys", "/proc/sys/net"} & set(sysctl["ReadonlyPaths"])
    setuid = _host_config(privileges=("setuid",))
    assert (setuid["SecurityOpt"], setuid["CapAdd"]) == ([], [])
    raw = _host_config(privileges=("net-raw", "audit-write"))
    assert raw["CapAdd"] == ["NET_RAW", "AUDIT_WRITE"]
    assert raw["CapDrop"] == ["MKNOD"]
    device = _host_config(privileges=("/dev/fuse",))
    assert [one["PathOnHost"] for one in device["Devices"]] == ["/dev/fuse"]
    assert device["CapAdd"] == []


def test_shared_memory_grows_with_the_memory() -> None:
    assert _host_config(memory=1024**3)["ShmSize"] == 512 * 1024**2


def test_only_without_a_network_its_name_is_told_to_be_an_address_of_the_loopbacks() -> None:
    body = create_body(MachineSpec(name="m", image="i", hostname="h", network=False), HOST)
    assert (body["Hostname"], body["HostConfig"]["ExtraHosts"]) == ("h", ["h:127.0.1.1"])
    assert _host_config()["ExtraHosts"] == []
    long = MachineSpec(name="distromatrix-" + "n" * 49 + ".x-and-more", image="i")
    assert create_body(long, HOST)["Hostname"] == "distromatrix-" + "n" * 49


@pytest.mark.parametrize("privilege", ["everything", "../dev/sda"])
def test_a_privilege_that_docker_cannot_give_is_refused(privilege: str) -> None:
    with pytest.raises(CannotStartError, match=privilege):
        _host_config(privileges=(privilege,))


@pytest.mark.parametrize(("cgroup", "words"), [("1", FORCE), ("2", [])])
def test_with_the_privilege_init_it_is_process_1_and_shells_are_the_users(
    cgroup: str, words: list[str]
) -> None:
    spec = MachineSpec(name="m", image="i", user="1000:1000", privileges=("init",))
    body = create_body(spec, Limits(cpus=2, apparmor=True, cgroup=cgroup))
    assert (body["Entrypoint"], body["Cmd"], body["User"]) == (["/sbin/init"], words, "0")
    host = body["HostConfig"]
    assert host["CgroupnsMode"] == "private"
    assert set(host["Tmpfs"]) == {"/run", "/run/lock"}
    assert "apparmor=unconfined" in host["SecurityOpt"]
    assert body["StopSignal"] == "SIGRTMIN+3"


def test_podman_gives_no_init_system() -> None:
    spec = MachineSpec(name="m", image="i", privileges=("init",))
    podman = replace(DOCKER, product="Podman", boots_init=False)
    with pytest.raises(CannotStartError, match="Podman cannot give the privilege 'init'"):
        create_body(spec, Limits(cpus=2, apparmor=False, dialect=podman))
