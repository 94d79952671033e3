"""Which engine meets which need, and what is said where none does."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from distromatrix.engines.guest import available as looking
from distromatrix.errors import EngineUnavailableError
from distromatrix.model import Guest, HostFacts, Need, ProviderName
from distromatrix.plan.needs import (
    CONTAINERS,
    GUESTS,
    NEEDS,
    PROVIDERS,
    choose_engine,
    choose_guest,
    meetable,
    version_meets,
)
from distromatrix.project.project import host_facts

HOST = HostFacts(arch="x86_64", cpus=2, memory=1 << 33, today=date(2026, 1, 1), kernel="6.18.5")
WITH_GUESTS = replace(HOST, guests={"qemu": "", "vagrant": ""})
PODMAN = replace(HOST, engine="podman")
DIRECT = Guest(kernel="linux-image-cloud-amd64")
WHOLE = replace(DIRECT, system=("systemd-sysv",))


def needs(*names: str) -> tuple[Need, ...]:
    return tuple(Need(name=name) for name in names)


def version(constraint: str, name: str = "own-kernel") -> tuple[Need, ...]:
    return (Need(name=name, version=constraint),)


@pytest.mark.parametrize("provider", ["virtualbox", "vmware_desktop", "hyperv", "proxmox"])
def test_a_provider_that_nobody_has_tried_is_said_to_be_untested(provider: ProviderName) -> None:
    guest = Guest(kernel="linux", box="debian/bookworm64", provider=provider, keep_ready=False)
    found = choose_engine(needs("init"), (), WITH_GUESTS, guest)
    assert found.engine == "vagrant"
    assert f"through {PROVIDERS[provider]}, with which distromatrix is untested" in found.reason
    assert "untested" not in choose_engine(needs("init"), (), WITH_GUESTS, WHOLE).reason


def test_without_needs_a_container_serves() -> None:
    assert choose_engine((), (), WITH_GUESTS, WHOLE).engine == "docker"


@pytest.mark.parametrize("name", ["kernel-modules", "own-kernel", "reboot"])
def test_what_takes_a_kernel_of_its_own_goes_to_the_cheapest_guest(name: str) -> None:
    choice = choose_engine(needs(name), ("mount", "sysctl", "/dev/kvm"), WITH_GUESTS, WHOLE)
    assert choice.engine == "qemu"
    assert choice.reason == f"needs {name}, which a container does not have"


@pytest.mark.parametrize("name", ["mount", "sysctl", "setuid"])
def test_a_privilege_is_never_given_in_silence(name: str) -> None:
    refused = choose_engine(needs(name), (), HOST, None)
    assert refused.engine is None
    assert f"`privileges: [{name}]`" in refused.reason
    granted = choose_engine(needs(name), (name,), WITH_GUESTS, WHOLE)
    assert granted.engine == "docker"
    assert name in granted.reason


@pytest.mark.parametrize("engine", ["docker", "podman"])
@pytest.mark.parametrize("name", ["net-raw", "mknod", "audit-write"])
def test_a_capability_that_roots_containers_had_takes_no_guest(name: str, engine: str) -> None:
    here = replace(WITH_GUESTS, engine=engine)
    assert choose_engine((), (name,), here, WHOLE).engine == engine


@pytest.mark.parametrize("name", ["mount", "sysctl", "setuid"])
def test_what_no_privilege_allows_a_guest_gives(name: str) -> None:
    assert choose_engine(needs(name), (), WITH_GUESTS, WHOLE).engine == "qemu"


def test_an_init_system_is_in_whole_guests_or_where_a_container_may_have_one() -> None:
    choice = choose_engine(needs("init"), (), WITH_GUESTS, WHOLE)
    assert choice.engine == "vagrant"
    assert "a container may give only with `privileges: [init]`" in choice.reason
    assert "not qemu: its guests boot without an init system" in choice.reason
    assert choose_engine(needs("init"), (), HOST, None).engine is None
    allowed = choose_engine(needs("init"), ("init",), WITH_GUESTS, WHOLE)
    assert allowed == ("docker", "needs init, which `privileges:` allows")
    podman = choose_engine(needs("init"), ("init",), replace(WITH_GUESTS, engine="podman"), WHOLE)
    assert podman.engine == "vagrant"
    assert "with which podman boots no init system here yet" in podman.reason


@pytest.mark.parametrize(("cgroup", "told"), [("1", True), ("2", False), ("", False)])
def test_a_systemd_that_cgroup_v1_does_not_boot_is_told_of(cgroup: str, told: bool) -> None:
    choice = choose_engine(needs("init"), ("init",), replace(HOST, cgroup=cgroup), None)
    assert choice.engine == "docker"
    assert ("cgroup v1 that takes a systemd before 258" in choice.reason) is told


def test_all_needs_of_a_suite_are_met_by_one_engine() -> None:
    assert choose_engine(needs("reboot", "init"), (), WITH_GUESTS, WHOLE).engine == "vagrant"
    both = choose_engine(needs("mount", "reboot"), ("mount",), WITH_GUESTS, WHOLE)
    assert both.engine == "qemu"


@pytest.mark.parametrize(
    ("guest", "engine", "said"),
    [
        (None, None, "no guest: its distro has no `guest:`"),
        (Guest(box="debian/bookworm64"), "vagrant", "not qemu: its distro's `guest:` has no"),
        (Guest(vagrantfile=Path("/p/Vagrantfile")), "vagrant", "not qemu: "),
        (DIRECT, "qemu", "a container does not have"),
    ],
)
def test_a_guest_is_made_of_what_the_distro_says(
    guest: Guest | None, engine: str | None, said: str
) -> None:
    choice = choose_engine(needs("kernel-modules"), (), WITH_GUESTS, guest)
    assert choice.engine == engine
    assert said in choice.reason


def test_a_distro_without_a_whole_system_has_no_vagrant_guest() -> None:
    choice = choose_engine(needs("init"), (), WITH_GUESTS, DIRECT)
    assert choice.engine is None
    assert "no vagrant: its distro's `guest:` has no `system:`" in choice.reason


def test_a_guest_engine_that_is_not_here_is_told_with_what_to_do() -> None:
    missing = replace(HOST, guests={"qemu": "QEMU is not installed; …", "vagrant": ""})
    choice = choose_engine(needs("reboot"), (), missing, WHOLE)
    assert choice.engine == "vagrant"
    assert choice.reason.endswith("; not qemu: QEMU is not installed; …")
    none = replace(HOST, guests={"qemu": "no QEMU", "vagrant": "no Vagrant"})
    choice = choose_engine(needs("reboot"), (), none, WHOLE)
    assert choice.engine is None
    assert choice.reason == (
        "needs reboot, which a container does not have; no qemu: no QEMU; no vagrant: no Vagrant"
    )


def test_a_gpu_is_met_by_its_device_only() -> None:
    assert choose_engine(needs("gpu"), ("/dev/fuse", "mount"), WITH_GUESTS, WHOLE).engine is None
    assert choose_engine(needs("gpu"), ("/dev/dri/renderD128",), HOST, None).engine == "docker"
    assert choose_engine(needs("gpu"), ("/dev/nvidia0",), HOST, None).engine == "docker"


def test_every_reason_is_told() -> None:
    wanted = (*version(">=6.1"), *needs("mount"))
    reason = choose_engine(wanted, (), HOST, None).reason
    assert "own-kernel >=6.1" in reason
    assert "needs mount" in reason


def test_every_need_of_the_table_has_an_answer() -> None:
    for name in NEEDS:
        for host in (HOST, WITH_GUESTS):
            choice = choose_engine(needs(name), (), host, WHOLE)
            assert choice.engine in (None, *CONTAINERS, *GUESTS)
            assert choice.reason


def test_the_users_engine_of_containers_is_the_one_that_is_chosen() -> None:
    assert choose_engine((), (), PODMAN, None).engine == "podman"
    assert choose_engine(needs("mount"), ("mount",), PODMAN, None).engine == "podman"
    assert choose_engine(needs("reboot"), (), PODMAN, None).engine is None


def test_what_podman_cannot_bound_it_is_not_asked_for() -> None:
    assert choose_engine(needs("sysctl"), ("sysctl",), HOST, None).engine == "docker"
    refused = choose_engine(needs("sysctl"), ("sysctl",), PODMAN, None)
    assert refused.engine is None
    assert "podman would make all of /proc/sys writable" in refused.reason
    guests = replace(PODMAN, guests=WITH_GUESTS.guests)
    assert choose_engine(needs("sysctl"), ("sysctl",), guests, WHOLE).engine == "qemu"


@pytest.mark.parametrize(
    ("constraint", "engine"), [(">=5.10", "docker"), (">=5.10,<7", "docker"), (">=6.19", "qemu")]
)
def test_a_version_of_the_kernel_may_be_the_hosts(constraint: str, engine: str) -> None:
    choice = choose_engine(version(constraint, "kernel"), (), WITH_GUESTS, WHOLE)
    assert choice.engine == engine
    assert "the kernel of containers here is 6.18.5" in choice.reason


def test_a_kernel_of_its_own_is_never_the_hosts_whatever_its_version() -> None:
    choice = choose_engine(version(">=5"), (), HOST, None)
    assert choice.engine is None
    assert "needs own-kernel >=5, which a container does not have" in choice.reason


@pytest.mark.parametrize(
    ("constraint", "has", "met"),
    [
        ("", "", True),
        (">=6.1", "", False),
        (">=6.1", "generic", False),
        (">=6.1", "6.1.0-18-cloud-amd64", True),
        (">=6.1", "6.0.99", False),
        (">=6.10", "6.9", False),
        (">=6.1.4", "6.1", False),
        (">6.1", "6.1.5", False),
        (">6.1.4", "6.1.5", True),
        ("<=6.1", "6.1.5", True),
        ("<6.1", "6.1.5", False),
        ("6.1", "6.1.5", True),
        ("==6.1.4", "6.1.5", False),
        (">=5.10,<6", "5.15.0", True),
        (">=5.10,<6", "6.1", False),
    ],
)
def test_versions_are_numbers_and_not_texts(constraint: str, has: str, met: bool) -> None:
    assert version_meets(constraint, has) is met


def test_what_no_machine_has_at_once_is_known_without_one() -> None:
    assert meetable(())
    assert meetable(("mount", "gpu", "kernel"))
    assert meetable(("init", "reboot", "kernel-modules"))
    assert not meetable(("gpu", "kernel-modules"))


def test_this_host_is_looked_at_for_guests_and_no_engine_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DISTROMATRIX_FAKE", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(looking, "_PROGRAMS", {n: (n, lambda: None) for n in GUESTS})
    facts = host_facts()
    assert set(facts.guests) == set(GUESTS)
    for why in facts.guests.values():
        assert "is not installed; `distromatrix doctor --guests --fix` installs it" in why
    monkeypatch.setattr(looking, "_PROGRAMS", {n: (n, lambda: "/bin/sh") for n in GUESTS})
    monkeypatch.setattr(looking, "_for_disks", lambda: "")
    assert looking.guests_here("x86_64") == {"qemu": "", "vagrant": ""}
    assert looking.guests_here("aarch64") == {
        "qemu": "direct guests run on x86_64 only, and this is aarch64",
        "vagrant": "",
    }


@pytest.mark.parametrize("lacking", ["qemu-img", "mke2fs", "static busybox"])
def test_a_host_that_cannot_make_a_guests_disk_has_no_direct_guests(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def which(program: str, path: str = "") -> str | None:
        return None if program == lacking else f"/bin/{program}"

    def busybox() -> None:
        if lacking == "static busybox":
            raise EngineUnavailableError("there is none")

    monkeypatch.delenv("DISTROMATRIX_FAKE", raising=False)
    monkeypatch.setattr(looking.shutil, "which", which)
    monkeypatch.setattr(looking, "static_busybox", busybox)
    assert looking.guests_here("x86_64")["qemu"] == (
        f"there is no {lacking} here; `distromatrix doctor --guests --fix` installs it"
    )


def test_guests_of_an_engine_are_chosen_for_cases_too() -> None:
    found = choose_guest(needs("mount"), WITH_GUESTS.guests, WHOLE)
    assert (found.engine, found.reason) == ("qemu", "")
