"""What only a real container engine can show of a machine."""

from __future__ import annotations

import io
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

import pytest
from docker.errors import APIError

from distromatrix.engines.contract import LABEL_RUN, Command, Machine, MachineSpec
from distromatrix.engines.docker import spec as docker_spec
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.engines.docker.machine import DockerMachine
from distromatrix.engines.shell.homes import WITHOUT_PRODUCT
from distromatrix.errors import CannotStartError, InfrastructureError, MachineGoneError
from distromatrix.execute.product.snapshot import take
from distromatrix.files.small_tar import tar_of
from distromatrix.model import Product

pytestmark = pytest.mark.engine
Opener = Callable[..., DockerMachine]


@pytest.fixture
def engine() -> Iterator[DockerEngine]:
    opened = DockerEngine()
    yield opened
    opened.close()


@pytest.fixture
def opener(engine: DockerEngine, docker_alpine: str) -> Iterator[Opener]:
    run = f"test-{secrets.token_hex(6)}"

    def open_(**other: object) -> DockerMachine:
        name = f"distromatrix-test-{secrets.token_hex(6)}"
        values = {"name": name, "image": docker_alpine, "network": False, "pids": 64}
        return engine.open(MachineSpec(**{**values, "labels": {LABEL_RUN: run}, **other}))  # type: ignore[arg-type]

    yield open_
    for one in engine.leftovers():
        if one.run == run:
            engine.remove(one)


@pytest.fixture
def odd_image(engine: DockerEngine) -> Iterator[Callable[[dict[str, bytes]], str]]:
    tag = f"distromatrix/test-odd:{secrets.token_hex(6)}"

    def make(files: dict[str, bytes]) -> str:
        tar = tar_of((name, content, 0o755) for name, content in files.items())
        engine.images.load_rootfs(io.BytesIO(tar), tag, {})
        return tag

    yield make
    engine.images.remove(tag)


def said(machine: Machine, script: str) -> bytes:
    out: list[bytes] = []
    machine.run(Command(script, output=out.append))
    return b"".join(out)


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout


def test_killing_everything_leaves_the_machine(opener: Opener) -> None:
    machine = opener()
    assert machine.run(Command("sleep 60 & /bin/kill -9 -1; echo not reached")).status == 137
    assert said(machine, "echo here") == b"here\n"


def test_a_process_killed_for_memory_is_told(opener: Opener) -> None:
    machine = opener(memory=48 * 1024**2)
    killed = machine.run(Command("tail /dev/zero"))
    assert (killed.status, killed.oom) == (137, True)
    assert machine.run(Command("tail /dev/zero || exit 5")).oom
    plain = machine.run(Command("exit 5"))
    assert (plain.status, plain.oom) == (5, False)


def test_memory_and_processes_are_bounded_and_nothing_new_is_gained(opener: Opener) -> None:
    machine = opener(user="1234:4321")
    assert b"NoNewPrivs:\t1" in said(machine, "cat /proc/self/status")
    assert said(machine, "id -u; id -g") == b"1234\n4321\n"
    assert said(machine, "i=0; while [ $i -lt 99 ]; do sleep 9 & i=$((i+1)); done").endswith(
        b"Resource temporarily unavailable\n"
    )
    assert "docker.sock" not in said(machine, "cat /proc/mounts").decode()


def test_without_a_network_there_is_none(opener: Opener) -> None:
    assert said(opener(), "ls /sys/class/net").split() == [b"lo"]
    assert b"eth0" in said(opener(network=True), "ls /sys/class/net")


def test_privileges_are_given_when_asked_for(opener: Opener) -> None:
    mount = "mount -t tmpfs none /mnt"
    sysctl = "echo 7 >/proc/sys/net/ipv4/ip_default_ttl"
    plain, mounting, setting = (
        opener(),
        opener(privileges=("mount",)),
        opener(privileges=("sysctl",)),
    )
    assert [m.run(Command(mount)).status == 0 for m in (plain, mounting, setting)] == [
        False,
        True,
        False,
    ]
    assert [m.run(Command(sysctl)).status == 0 for m in (plain, mounting, setting)] == [
        False,
        False,
        True,
    ]
    assert setting.run(Command("echo x >/proc/sys/kernel/domainname")).status != 0
    assert opener(privileges=("/dev/null",)).run(Command("[ -c /dev/null ]")).status == 0
    with pytest.raises((CannotStartError, InfrastructureError), match="/dev/nosuch"):
        opener(privileges=("/dev/nosuch",))


def test_an_image_without_sh_cannot_start(
    opener: Opener, odd_image: Callable[[dict[str, bytes]], str]
) -> None:
    with pytest.raises(CannotStartError, match="no /bin/sh"):
        opener(image=odd_image({"etc/x": b""}))


def test_an_image_of_another_architecture_cannot_start(
    opener: Opener, odd_image: Callable[[dict[str, bytes]], str]
) -> None:
    # An ELF header that says EM_68K, which no engine's host is.
    header = b"\x7fELF\x01\x02\x01" + bytes(9) + b"\x00\x02\x00\x04" + bytes(40)
    with pytest.raises(CannotStartError, match="another architecture"):
        opener(image=odd_image({"bin/sh": header}))


def test_an_image_whose_sh_lacks_its_loader_cannot_start(
    opener: Opener, odd_image: Callable[[dict[str, bytes]], str]
) -> None:
    with pytest.raises(CannotStartError, match="no /bin/sh"):
        opener(image=odd_image({"bin/sh": b"#!/nosuch/loader\n"}))


def test_a_failed_start_leaves_no_container(
    opener: Opener, odd_image: Callable[[dict[str, bytes]], str]
) -> None:
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    with pytest.raises(CannotStartError):
        opener(name=name, image=odd_image({"etc/x": b""}))
    assert name not in docker("ps", "-a", "--format", "{{.Names}}")


@pytest.mark.parametrize(
    ("words", "reason"), [(("kill",), "killed from outside"), (("rm", "-f"), "outside")]
)
def test_a_machine_that_goes_says_why(opener: Opener, words: tuple[str, ...], reason: str) -> None:
    machine = opener()
    threading.Timer(0.4, lambda: docker(*words, machine.name)).start()
    with pytest.raises(MachineGoneError, match=reason) as caught:
        machine.run(Command("sleep 60"))
    assert not caught.value.oom


def test_a_machine_killed_by_its_own_main_process_dying_of_memory_says_so(opener: Opener) -> None:
    machine = opener(memory=32 * 1024**2)
    # The first process is small: only when it bids highest, and the others share the memory
    # among them, is it the one to go.
    bid = "echo 1000 >/proc/1/oom_score_adj; echo 0 >/proc/self/oom_score_adj; "
    hog = bid + "tail /dev/zero & tail /dev/zero & tail /dev/zero & tail /dev/zero; wait"
    with pytest.raises(MachineGoneError, match="32 MiB of memory") as caught:
        machine.run(Command(hog))
    assert caught.value.oom


def test_a_kept_machine_goes_on_without_us(opener: Opener, engine: DockerEngine) -> None:
    machine = opener()
    machine.run(Command("echo state >/file; sleep 60", timeout=1))
    kept = machine.keep()
    engine.close()
    sleep(0.5)
    enter = kept.enter.replace("-it ", "").split()[1:]
    assert docker(*enter, "-c", "cat /file") == "state\n"
    docker(*kept.remove.split()[1:])
    assert kept.name not in docker("ps", "-a", "--format", "{{.Names}}")


def test_the_engines_disk_holds_no_second_copy_of_the_output(opener: Opener) -> None:
    machine = opener()
    machine.run(Command("echo out"))
    assert docker("inspect", "-f", "{{.HostConfig.LogConfig.Type}}", machine.name) == "none\n"


def test_where_the_kernel_has_no_ipv6_a_container_starts_without_its_loopback(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As such a kernel does, this one has no such setting.
    monkeypatch.setitem(docker_spec.LOOPBACK_IPV6, "net.ipv6.conf.none.disable_ipv6", "0")
    machine = opener()
    assert machine.run(Command("grep -q ' lo$' /proc/net/if_inet6 && exit 9 || :")).status == 0
    assert opener().run(Command(":")).status == 0


def test_a_user_who_is_entered_as_has_the_home_of_the_commands(opener: Opener) -> None:
    machine = opener(user="1234:4321")
    kept = machine.keep()
    assert f"-e HOME={WITHOUT_PRODUCT} " in kept.enter
    done = subprocess.run(
        [*kept.enter.replace("-it", "-i").split()[:-1], "sh", "-c", 'echo "$HOME"; : >~/x'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{WITHOUT_PRODUCT}\n"


def test_what_hangs_is_named_where_the_engines_host_has_no_ps(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise APIError('exec: "ps": executable file not found in $PATH')

    monkeypatch.setattr("distromatrix.engines.docker.connection.api._Client.top", fails)
    machine = opener()
    assert machine.running() == ""  # and not what lists it
    done = machine.run(Command("(sleep 4731 &); sleep 4730", timeout=1))
    assert done.timed_out
    assert "sleep 4730 (for 00:0" in done.hung
    assert "sleep 4731 (for 00:0" in done.hung
    assert "/proc" not in done.hung
    machine.close()
    assert machine.running() == ""


@pytest.mark.alone  # where a volume cannot be mounted, Docker 20 starts others without files
def test_where_overlays_rename_no_folders_the_product_comes_as_an_archive(
    engine: DockerEngine, docker_alpine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p/folder").mkdir(parents=True)
    (tmp_path / "p/folder/file").write_text("f")
    snapshot = take(Product(path=tmp_path / "p"), tmp_path / "s.tar")
    labels = {LABEL_RUN: f"test-{secrets.token_hex(6)}"}
    found = []
    for options in (docker_spec._AS_A_DISK, "redirect_dir=nofollow,index=on", "redirect_dir=on"):
        monkeypatch.setattr(docker_spec, "_AS_A_DISK", options)
        stage = engine.stage(snapshot, image=docker_alpine, labels=labels)
        name = f"distromatrix-test-{secrets.token_hex(6)}"
        spec = MachineSpec(name=name, image=docker_alpine, labels=labels, network=False)
        machine = engine.open(spec, stage)
        done = machine.run(Command("cat folder/file", cwd=machine.product))
        found.append((stage.strategy, done.status))
        machine.close()
        stage.close()
    assert found == [("overlay", 0), ("archive", 0), ("archive", 0)]


@pytest.mark.parametrize("privileges", [frozenset(), frozenset({"init"})])
def test_one_that_an_engine_starts_without_its_product_is_no_machine(
    engine: DockerEngine, docker_alpine: str, privileges: frozenset[str]
) -> None:
    labels = {LABEL_RUN: f"test-{secrets.token_hex(6)}"}
    name = f"distromatrix-test-{secrets.token_hex(6)}"
    spec = MachineSpec(
        name=name, image=docker_alpine, labels=labels, network=False, privileges=privileges
    )
    machine = engine._networks.create(spec, staged=True)
    with pytest.raises(InfrastructureError, match=f"started {name} without its files"):
        machine.start()
    assert not [left for left in engine.leftovers() if left.run == labels[LABEL_RUN]]


def test_a_command_of_ours_that_waits_and_says_nothing_is_cut_off(opener: Opener) -> None:
    """As one does that calls a product's program in the place of what it wants."""
    container = opener().container
    with pytest.raises(InfrastructureError):
        container.run("try", "exec sleep 60", within=2.0)
    with pytest.raises(InfrastructureError):
        list(container.told("try", "echo begun; exec sleep 60", 2.0))
    assert container.run("try", "echo fine") == b"fine\n"
