"""A real guest of Vagrant's: what a whole system has that neither a container nor a direct guest
gives, and that what it leaves is found."""

from __future__ import annotations

import io
import os
import secrets
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.collect.artifacts import Extracted, extract
from distromatrix.engines.contract import (
    LABEL_FOLDER,
    LABEL_HOST,
    LABEL_RUN,
    Command,
    Machine,
    MachineSpec,
)
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.engines.vagrant.command import vagrant
from distromatrix.engines.vagrant.disk_files import read_dead
from distromatrix.engines.vagrant.engine import VagrantEngine
from distromatrix.engines.vagrant.vagrantfile import Definition, vagrantfile
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.model import Guest, ProviderName

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


def told(machine: Machine, script: str, timeout: float = 120) -> str:
    """What a script prints in a machine; it must succeed."""
    lines: list[bytes] = []
    done = machine.run(Command(script, output=lines.append, timeout=timeout))
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
    domains = engine.home.libvirtd("list", "--all", "--name").split()
    assert not {one.name, two.name} & set(domains)


@pytest.mark.parametrize("provider", ["virtualbox", pytest.param("hyperv", marks=pytest.mark.slow)])
def test_what_is_written_for_providers_that_vagrant_brings_is_what_they_know(
    provider: ProviderName, tmp_path: Path
) -> None:
    """Vagrant itself reads it; it does not come to a machine, as neither runs here."""
    wanted = Definition(
        title="A test's",
        name="distromatrix-test",
        uri="",
        port=0,
        memory=1024,
        cpus=1,
        kvm=False,
        cpu="",
        console=str(tmp_path / "console.log"),
        box="debian/bookworm64",
        provider=provider,
    )
    file = tmp_path / "Vagrantfile"
    # What it does not know it notes, and tells once the provider is there to be used.
    told_now = "    raise it._detected_errors.to_a.join if it._detected_errors.any?\n  end\nend }"
    read = vagrantfile(wanted).replace("  end\nend }", told_now)
    file.write_text(read.replace("it.cpus", "it.no_such_word"), encoding="utf-8")
    with pytest.raises(InfrastructureError, match="no_such_word"):
        vagrant("validate", folder=tmp_path, timeout=120)
    file.write_text(read, encoding="utf-8")
    assert "validated successfully" in vagrant("validate", folder=tmp_path, timeout=120)
    with pytest.raises(InfrastructureError, match=r"VirtualBox|only works on Windows"):
        vagrant("up", "--provider", provider, folder=tmp_path, timeout=120)


@pytest.mark.slow
def test_a_guest_that_is_not_kept_ready_is_brought_up_by_itself_and_destroyed(
    engine: VagrantEngine, debian_system: str
) -> None:
    plain = Guest(kernel="linux", system=("systemd",), keep_ready=False)
    machine = engine.open(spec(debian_system, guest=plain))
    try:
        assert told(machine, "cat /proc/1/comm; id -u").split() == ["systemd", "0"]
        before = told(machine, "cat /proc/sys/kernel/random/boot_id; echo kept >/kept")
        machine.reboot()
        assert before != told(machine, "cat /proc/sys/kernel/random/boot_id")
        assert told(machine, "cat /kept") == "kept"
    finally:
        machine.close()
    assert machine.name not in {left.name for left in engine.leftovers()}
    assert machine.name not in engine.home.libvirtd("list", "--all", "--name")
    assert not list(engine.home.pool.glob(f"{machine.name}*"))


KILLED = """import sys, os, signal, threading, time
from pathlib import Path
from distromatrix.engines.contract import LABEL_RUN, MachineSpec
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.engines.vagrant.engine import VagrantEngine
from distromatrix.model import Guest
name, image = sys.argv[1:]
engine = VagrantEngine(DockerEngine())
def kill():
    while not list(engine.home.pool.glob(name + "-*")):
        time.sleep(0.2)
    time.sleep(2)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill, daemon=True).start()
plain = Guest(kernel="linux", system=("systemd",), keep_ready=False)
labels = {LABEL_RUN: name}
engine.open(MachineSpec(name=name, image=image, labels=labels, memory=1 << 30, guest=plain))
"""


@pytest.mark.slow
def test_killed_amid_vagrant_up_a_guest_and_that_vagrant_are_swept(
    engine: VagrantEngine, debian_system: str
) -> None:
    name = spec("").name
    done = subprocess.run([sys.executable, "-c", KILLED, name, debian_system], check=False)
    assert done.returncode == -9
    (left,) = (one for one in engine.leftovers() if one.name == name)
    engine.remove(left)
    assert name not in {one.name for one in engine.leftovers()}
    assert name not in engine.home.libvirtd("list", "--all", "--name")
    assert not list(engine.home.pool.glob(f"{name}*"))
    assert name.encode() not in b"".join(
        file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()
    )


@pytest.mark.slow
@pytest.mark.parametrize("ready", ["false", "true"])
def test_interrupted_amid_vagrant_up_nothing_runs_on(tmp_path: Path, ready: str) -> None:
    for name in ("matrix", "distros"):
        (tmp_path / name).mkdir()
    kernel = "bootstrap: {kernel: linux-image-cloud-amd64, system: [systemd-sysv, udev, dbus, "
    guest = f"guest: {{{kernel}openssh-server, sudo]}}, keep_ready: {ready}}}"
    (tmp_path / "distros/mine.yaml").write_text(f"title: Mine\nlike: debian-12\n{guest}\n")
    (tmp_path / "matrix/default.yaml").write_text(
        "product: .\ndistros: [mine]\ndefaults: {memory: 512M}\n"
        "suites: {one: {needs: [init], run: ':'}}\n"
    )
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}  # guests of its own
    engine = VagrantEngine(DockerEngine(), tmp_path / "cache/distromatrix")
    command = [sys.executable, "-m", "distromatrix", "run"]
    run = subprocess.Popen(command, cwd=tmp_path, env=env)
    while run.poll() is None and not engine.home.libvirtd.running():
        time.sleep(0.2)
    while run.poll() is None and not engine.home.libvirtd("list", "--name").strip():
        time.sleep(0.2)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    assert run.wait(120) == 130
    assert engine.home.libvirtd("list", "--name").strip() == ""
    for left in engine.leftovers():
        engine.remove(left)
    assert engine.leftovers() == ()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["distromatrix-reboot", "systemctl reboot; sleep 300"])
def test_a_suite_restarts_its_guest_and_goes_on(
    engine: VagrantEngine, debian_system: str, how: str
) -> None:
    machine = engine.open(spec(debian_system))
    script = """cat /proc/sys/kernel/random/boot_id
if [ "${DISTROMATRIX_REBOOT_COUNT-0}" -lt 1 ]; then echo kept >/kept; HOW; fi
cat /kept"""
    try:
        first, second, kept = told(machine, script.replace("HOW", how), timeout=600).split()
        assert first != second
        assert kept == "kept"
    finally:
        machine.close()


@pytest.mark.slow
def test_a_command_that_ends_sshd_too_restarts_nothing_and_the_guest_goes_on(
    engine: VagrantEngine, debian_system: str
) -> None:
    machine = engine.open(spec(debian_system))
    try:
        with pytest.raises(InfrastructureError, match="was killed, perhaps by that command"):
            machine.run(Command("kill -9 -1", timeout=600))
        assert told(machine, "id -u") == "0"
        # Where none comes back, nobody waits longer than for the command itself.
        with pytest.raises(InfrastructureError, match="was lost"):
            machine.run(
                Command("systemctl mask --runtime --now ssh.service; kill -9 -1", timeout=60)
            )
    finally:
        machine.close()


@pytest.mark.slow
def test_commands_have_at_most_so_many_processes_also_after_a_restart(
    engine: VagrantEngine, debian_system: str
) -> None:
    machine = engine.open(spec(debian_system, pids=60))
    begin = "n=0; while [ $n -lt {} ]; do sleep 600 & n=$((n+1)); done; "
    many = begin.format(100) + "exit 66"
    try:
        assert machine.run(Command(many, timeout=300)).status == 2
        assert machine.signal_left("KILL")
        machine.reboot()
        assert machine.run(Command(many, timeout=300)).status == 2
        assert machine.signal_left("KILL")
        crowd = machine.run(Command(begin.format(40) + "while :; do :; done", timeout=10))
        assert (crowd.status, crowd.ended) == (None, True)
        assert list(machine.get("/etc/hostname"))
    finally:
        machine.close()


@pytest.mark.slow
def test_a_kernel_that_gives_up_is_no_failure_of_the_product(
    engine: VagrantEngine, debian_system: str
) -> None:
    machine = engine.open(spec(debian_system))
    try:
        with pytest.raises(MachineGoneError, match="Kernel panic - not syncing: sysrq"):
            machine.run(
                Command(
                    "mkdir -p /seen/sub; echo it >/seen/sub/file; sync\n"
                    "echo c >/proc/sysrq-trigger\nsleep 300",
                    timeout=120,
                )
            )
        with tarfile.open(fileobj=io.BytesIO(b"".join(machine.get("/seen")))) as tar:
            file = tar.extractfile("seen/sub/file")
            assert file is not None
            assert file.read() == b"it\n"
        with pytest.raises(FileNotFoundError):
            machine.get("/not-seen")
    finally:
        machine.close()


@pytest.mark.slow
def test_what_vagrant_says_of_a_bad_definition_is_told_in_a_line(
    engine: VagrantEngine, debian_system: str, tmp_path: Path
) -> None:
    own = tmp_path / "Vagrantfile"
    own.write_text('Vagrant.configure("2") do |c|\n', encoding="utf-8")
    with pytest.raises(InfrastructureError, match=rf"{own}:\d+: syntax error"):
        engine.open(spec(debian_system, guest=Guest(vagrantfile=own)))
    with pytest.raises(InfrastructureError, match="could not be found"):
        engine.open(spec(debian_system, guest=Guest(box="distromatrix.example/none")))


def test_what_a_guest_that_ended_has_left_is_read_from_its_disk_or_said_to_be_too_much(
    tmp_path: Path,
) -> None:
    out = tmp_path / "root/distromatrix/out"
    (out / "artifacts/deep").mkdir(parents=True)
    (out / "junit.xml").write_text("<testsuite/>")
    (out / "artifacts/deep/program").write_bytes(b"#!/bin/sh\n" * 1000)
    (out / "artifacts/deep/program").chmod(0o755)
    (out / "artifacts/deep/empty").touch()
    (out / "artifacts/link").symlink_to("deep/empty")
    with (out / "artifacts/huge").open("wb") as huge:
        huge.truncate(5 * 1024**3)

    def brought() -> Extracted:
        raw, disk = tmp_path / "raw", tmp_path / "disk"
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        for command in (
            f"mke2fs -q -F -t ext4 -d {tmp_path}/root {raw} 8G",
            f"qemu-img convert -O qcow2 {raw} {disk}",
        ):
            subprocess.run(command.split(), check=True, env={**os.environ, "PATH": path})
        with pytest.raises(FileNotFoundError):
            read_dead(disk, "/distromatrix/none", "it", tmp_path)
        tar = read_dead(disk, "/distromatrix/out", "it", tmp_path)
        both = ("artifacts", "junit.xml")
        return extract(tar, tmp_path / "back", limit_bytes=1024**2, only=both)

    assert brought().refused == ("more than 1 MiB: the rest was left out",)
    (out / "artifacts/huge").unlink()
    got = brought()
    assert (got.files, got.refused) == (3, ())
    program = tmp_path / "back/artifacts/deep/program"
    assert program.read_bytes() == b"#!/bin/sh\n" * 1000
    assert program.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "back/junit.xml").read_text() == "<testsuite/>"
    assert not list(tmp_path.glob("distromatrix-disk-*"))


@pytest.mark.slow
def test_a_libvirtd_that_is_killed_takes_no_guest_with_it_and_comes_back(
    debian_system: str, tmp_path: Path
) -> None:
    containers = DockerEngine()
    engine = VagrantEngine(containers, tmp_path)  # whose libvirtd no other test needs

    def kill() -> None:
        pid = int((engine.home.libvirtd.folder / "run/libvirtd.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    one = engine.open(spec(debian_system))
    try:
        kill()
        assert told(one, "echo still here") == "still here"
        two = engine.open(spec(debian_system))
        kill()
        assert told(two, "cat /proc/1/comm") == "systemd"
        two.close()
    finally:
        one.close()
        names = [left.name for left in engine.leftovers() if left.run]
        for left in engine.templates_kept.list():  # templates before the boxes that they stand on
            engine.remove(left)
        domains = engine.home.libvirtd("list", "--all", "--name").split()
        containers.close()
    assert (names, domains) == ([], [])
