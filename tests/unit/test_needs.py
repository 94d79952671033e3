"""Which engine meets which need, and what is said where none does."""

import pytest

from distromatrix.model import Need
from distromatrix.needs import CONTAINERS, NEEDS, choose_engine


def needs(*names: str) -> tuple[Need, ...]:
    return tuple(Need(name=name) for name in names)


def test_without_needs_a_container_serves() -> None:
    assert choose_engine((), ()).engine == "docker"


@pytest.mark.parametrize("name", ["kernel-modules", "own-kernel", "reboot"])
def test_what_takes_a_kernel_of_its_own_no_privilege_can_give(name: str) -> None:
    choice = choose_engine(needs(name), ("mount", "sysctl", "/dev/kvm"))
    assert choice.engine is None
    assert f"needs {name}, which a container cannot give" in choice.reason


@pytest.mark.parametrize("name", ["mount", "sysctl"])
def test_a_privilege_is_never_given_in_silence(name: str) -> None:
    refused = choose_engine(needs(name), ())
    assert refused.engine is None
    assert f"`privileges: [{name}]`" in refused.reason
    granted = choose_engine(needs(name), (name,))
    assert granted.engine == "docker"
    assert name in granted.reason


def test_an_init_system_is_not_promised_before_an_engine_gives_it() -> None:
    for choice in (
        choose_engine(needs("init"), ()),
        choose_engine(needs("init"), ("init",)),
        choose_engine((), ("init",)),
    ):
        assert choice.engine is None
        assert "init, which no engine here gives yet" in choice.reason


def test_a_gpu_is_met_by_its_device_only() -> None:
    assert choose_engine(needs("gpu"), ("/dev/fuse", "mount")).engine is None
    assert choose_engine(needs("gpu"), ("/dev/dri/renderD128",)).engine == "docker"
    assert choose_engine(needs("gpu"), ("/dev/nvidia0",)).engine == "docker"


def test_every_reason_is_told() -> None:
    reason = choose_engine((Need(name="own-kernel", version=">=6.1"), *needs("mount")), ()).reason
    assert "own-kernel >=6.1" in reason
    assert "needs mount" in reason


def test_every_need_of_the_table_has_an_answer() -> None:
    for name in NEEDS:
        choice = choose_engine(needs(name), ())
        assert choice.engine in (None, *CONTAINERS)
        assert choice.reason


def test_the_users_engine_of_containers_is_the_one_that_is_chosen() -> None:
    assert choose_engine((), (), "podman").engine == "podman"
    assert choose_engine(needs("mount"), ("mount",), "podman").engine == "podman"
    assert choose_engine(needs("reboot"), (), "podman").engine is None


def test_what_podman_cannot_bound_it_is_not_asked_for() -> None:
    assert choose_engine(needs("sysctl"), ("sysctl",)).engine == "docker"
    refused = choose_engine(needs("sysctl"), ("sysctl",), "podman")
    assert refused.engine is None
    assert "podman would make all of /proc/sys writable" in refused.reason
