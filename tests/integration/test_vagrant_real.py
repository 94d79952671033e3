"""A real guest of Vagrant's: what a whole system has that neither a container nor a direct guest
gives, and that what it leaves is found."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path

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
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.model import Guest

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
    done = machine.run(script, output=lines.append, timeout=timeout)
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
def test_a_kernel_that_gives_up_is_no_failure_of_the_product(
    engine: VagrantEngine, debian_system: str
) -> None:
    machine = engine.open(spec(debian_system))
    try:
        with pytest.raises(MachineGoneError, match="Kernel panic - not syncing: sysrq"):
            machine.run(
                "mkdir -p /seen/sub; echo it >/seen/sub/file; sync; echo c >/proc/sysrq-trigger\n"
                "sleep 300",
                timeout=120,
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
