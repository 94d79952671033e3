"""doctor --engine podman: what it sees, and what it would write and run."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import doctor_hosts
import pytest
from doctor_hosts import FakeEngine

from distromatrix.doctor import engine as engine_looks
from distromatrix.doctor import podman as looks
from distromatrix.doctor.command import CommandResult
from distromatrix.doctor.engine import engine_checks
from distromatrix.doctor.fix import fix
from distromatrix.doctor.host import Host
from distromatrix.doctor.model import Check
from distromatrix.engines.contract import EngineFacts

APT = "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"
ROOT = replace(doctor_hosts.ROOT, dockerd=True, podman=True)
ADA = replace(ROOT, user="ada", root=False, sudo=True)
FACTS = replace(doctor_hosts.FACTS, name="podman", product="Podman", version="4.3.1", rootless=True)


def engine(facts: EngineFacts | None, host: Host, **environ: str) -> dict[str, Check]:
    checks = engine_checks("podman", lambda _: FakeEngine(facts), environ, host)  # type: ignore[arg-type,return-value]
    return {check.name: check for check in checks}


def has(*programs: str) -> Callable[[str], str | None]:
    return lambda name: f"/usr/bin/{name}" if name in programs else None


def stands(host: Host, root: Path, *programs: str, cgroup: str = "1") -> dict[str, Check]:
    checks = looks.podman_checks(
        host, cgroup=cgroup, root=root, home=Path("/home/ada"), which=has(*programs)
    )
    return {check.name: check for check in checks}


def test_an_absent_podman_is_installed_and_needs_no_group_and_no_start() -> None:
    check = engine(None, replace(ADA, podman=False))["container engine"]
    assert (check.status, check.install) == ("missing", "podman")
    assert (check.start, check.let_in) == (False, False)
    assert check.mend == (f"sudo {APT} podman runc iptables uidmap slirp4netns fuse-overlayfs",)


def test_a_podman_that_does_not_start_is_shown_with_its_words() -> None:
    check = engine(None, ROOT)["container engine"]
    assert check.status == "missing"
    assert "it is not there" in check.found
    assert "advice" not in check.found
    assert "podman system service" in check.mend[0]


def test_a_podman_that_must_be_told_something_first_is_not_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = Check(name="container runtime", status="missing", found="", commands=("x",))
    monkeypatch.setattr(engine_looks, "podman_checks", lambda *_, **__: (needed,))
    checks = engine(FACTS, ROOT)
    assert "container engine" not in checks
    assert checks["container runtime"].commands == ("x",)


def test_a_far_podman_that_does_not_answer_is_named() -> None:
    check = engine(None, ROOT, CONTAINER_HOST="ssh://far/p.sock")["container engine"]
    assert "CONTAINER_HOST=ssh://far/p.sock" in check.found


def test_a_fit_podman_says_whose_it_is() -> None:
    checks = engine(FACTS, ROOT)
    assert checks["container engine"].found == "Podman 4.3.1 (API 1.41)"
    assert "this user's own" in checks["rights on the socket"].found
    assert "root's" in engine(replace(FACTS, rootless=False), ROOT)["rights on the socket"].found
    assert checks["storage driver"].status == "ok"
    vfs = engine(replace(FACTS, storage_driver="vfs"), ROOT)["storage driver"]
    assert vfs.mend[0].startswith("podman ")


@pytest.mark.parametrize(
    ("programs", "cgroup"), [(("runc",), "1"), (("crun",), "2"), (("crun", "runc"), "2")]
)
def test_where_nothing_is_needed_nothing_is_written(
    tmp_path: Path, programs: tuple[str, ...], cgroup: str
) -> None:
    check = stands(ROOT, tmp_path, *programs, cgroup=cgroup)["container runtime"]
    assert (check.status, check.commands) == ("ok", ())


def test_crun_on_cgroup_v1_is_told_apart_by_a_file_of_ours_that_says_why(tmp_path: Path) -> None:
    check = stands(ROOT, tmp_path, "crun")["container runtime"]
    assert (check.status, check.install) == ("missing", "podman")
    command, stop = check.commands
    assert command in check.mend
    assert "pkill -xf 'podman system service" in shlex.split(stop)[-1]  # the next reads the file
    target = "/etc/containers/containers.conf.d/50-distromatrix.conf"
    assert target in command
    here = command.replace("/etc/containers", f"{tmp_path}/etc/containers")
    subprocess.run(shlex.split(here), check=True)
    text = Path(f"{tmp_path}{target}").read_text()
    assert text.startswith("# Written by `distromatrix doctor --fix`")
    assert 'runtime = "runc"\ncgroup_manager = "cgroupfs"\n' in text
    assert stands(ROOT, tmp_path, "crun", "runc")["container runtime"].status == "ok"


def test_with_systemd_the_cgroup_manager_stays(tmp_path: Path) -> None:
    host = replace(ADA, init="systemd")
    command, _ = stands(host, tmp_path, "crun", "runc")["container runtime"].commands
    assert "cgroup_manager" not in command
    assert "/home/ada/.config/containers/containers.conf.d/" in command
    assert "sudo" not in command


def test_an_ordinary_user_needs_ids_their_tools_and_a_network(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("subuid", "subgid"):
        (tmp_path / "etc" / name).write_text("bob:100000:65536\n")
    lacking = stands(ADA, tmp_path, "runc")
    ids = lacking["user ids"]
    assert (ids.status, ids.install) == ("missing", "podman")
    assert ids.commands[0] == (
        "sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ada"
    )
    assert lacking["rootless network"].install == "podman"
    for name in ("subuid", "subgid"):
        (tmp_path / "etc" / name).write_text("bob:100000:65536\nada:165536:65536\n")
    there = stands(ADA, tmp_path, "runc", "newuidmap", "newgidmap", "pasta")
    assert {check.status for check in there.values()} == {"ok"}
    assert set(stands(ROOT, tmp_path, "runc")) == {"container runtime"}


def test_fix_runs_what_a_check_says_after_what_it_installs() -> None:
    ran: list[str] = []
    said: list[str] = []

    def run(command: str) -> CommandResult:
        ran.append(command)
        return CommandResult(0, "")

    check = Check(name="x", status="missing", found="", install="tar", commands=("sh -c :",))
    assert fix((check,), ask=lambda _: True, say=said.append, run=run, host=ROOT)
    assert ran == ["apt-get update", f"{APT} tar", "sh -c :"]
    assert "  sh -c :" in said
