"""doctor --fix: what it would run, and what it says when it cannot."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from doctor_hosts import ADA, ROOT

from distromatrix import doctor
from distromatrix.cli.doctor import command
from distromatrix.doctor.command import CommandResult, must, run_command
from distromatrix.doctor.fix import fix
from distromatrix.doctor.host import Host, families
from distromatrix.doctor.model import Check
from distromatrix.doctor.start import start_engine
from distromatrix.errors import EXIT_INFRASTRUCTURE, InfrastructureError

NO_ENGINE = Check(
    name="container engine", status="missing", found="none", install="engine", start=True
)
NO_TOOLS = Check(name="image tools", status="warning", found="none", install="bootstrap")
FINE = Check(name="git", status="ok", found="git", install="git")


class Recorder:
    """Stands for the machine: notes commands, fails those that begin with a given word."""

    def __init__(self, *failing: str) -> None:
        self.ran: list[str] = []
        self.said: list[str] = []
        self.started: list[str] = []
        self.failing = failing

    def run(self, command: str) -> CommandResult:
        self.ran.append(command)
        failed = any(word in command for word in self.failing)
        return CommandResult(100 if failed else 0, "first\nE: no such package\n" if failed else "")

    def fix(self, *checks: Check, host: Host = ROOT, answer: bool = True) -> bool:
        return fix(
            checks,
            ask=lambda _: answer,
            say=self.said.append,
            run=self.run,
            host=host,
            start=lambda commands, _run, _say: self.started.extend(commands),
        )


APT = "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"


def test_everything_missing_is_installed_at_once_and_the_engine_started() -> None:
    machine = Recorder("apt-cache")
    assert machine.fix(NO_ENGINE, NO_TOOLS, FINE)
    assert [c for c in machine.ran if "apt-cache" not in c] == [
        "apt-get update",
        f"{APT} docker.io mmdebstrap debian-archive-keyring uidmap",
    ]
    assert machine.started == list(ROOT.start())


def test_an_optional_package_is_installed_where_it_is_known() -> None:
    machine = Recorder()
    machine.fix(NO_ENGINE)
    assert machine.ran[-1] == f"{APT} docker.io docker-cli"


def test_sudo_is_used_by_those_who_are_not_root() -> None:
    machine = Recorder()
    machine.fix(replace(NO_ENGINE, let_in=True), host=ADA)
    as_root = [command for command in machine.ran if "apt-cache" not in command]
    assert all(command.startswith("sudo ") for command in as_root)
    assert as_root[-1] == "sudo usermod -aG docker ada"
    assert "next login" in machine.said[-1]


def test_what_will_be_done_is_said_before_it_is_asked_and_no_means_no() -> None:
    machine = Recorder()
    assert not machine.fix(NO_ENGINE, answer=False)
    assert machine.ran == machine.started == []
    assert f"  {APT} docker.io" in machine.said


def test_a_healthy_machine_is_left_alone() -> None:
    machine = Recorder()
    assert not machine.fix(FINE)
    assert machine.ran == machine.said == []


def test_other_families_are_told_what_to_type() -> None:
    host = replace(ROOT, title="Fedora 43", family=families()["fedora"], init="systemd")
    with pytest.raises(InfrastructureError) as caught:
        Recorder().fix(NO_ENGINE, host=host)
    assert str(caught.value).splitlines()[1:] == [
        "  dnf install -y moby-engine",
        "  systemctl enable --now docker",
    ]


def test_an_unknown_system_is_sent_to_its_own_documentation() -> None:
    with pytest.raises(InfrastructureError, match="does not know how Plan 9 installs"):
        Recorder().fix(NO_ENGINE, host=replace(ROOT, title="Plan 9", family=None))


def test_without_root_and_sudo_the_commands_are_shown_plain() -> None:
    with pytest.raises(InfrastructureError) as caught:
        Recorder().fix(NO_ENGINE, host=replace(ADA, sudo=False))
    assert "no sudo" in str(caught.value)
    assert "  sudo " not in str(caught.value)


def test_a_failing_command_is_shown_with_its_last_lines() -> None:
    with pytest.raises(InfrastructureError, match="E: no such package"):
        Recorder("install").fix(NO_ENGINE)


def test_every_family_can_install_and_start_an_engine() -> None:
    for name, family in families().items():
        for init in ("systemd", "sysv"):
            host = replace(ROOT, family=family, init=init)
            assert host.install("engine"), name
            assert host.start(), name


def test_an_engine_that_its_package_started_is_not_started_again() -> None:
    machine = Recorder()
    start_engine(["start it"], machine.run, machine.said.append, answers=lambda: True)
    assert machine.ran == []


def test_the_next_way_is_tried_when_one_does_not_start_the_engine(tmp_path: Path) -> None:
    machine = Recorder("service")
    start_engine(
        ["service docker start", "sh -c dockerd"],
        machine.run,
        machine.said.append,
        answers=lambda: "sh -c dockerd" in machine.ran,
        log=tmp_path / "log",
        patience=0,
    )
    assert machine.ran == ["service docker start", "sh -c dockerd"]


def test_an_engine_that_will_not_start_is_shown_with_its_log_and_what_may_help(
    tmp_path: Path,
) -> None:
    log = tmp_path / "dockerd.log"
    log.write_text("".join(f"line {n}\n" for n in range(50)) + "iptables: no chain\n")
    machine = Recorder()
    with pytest.raises(InfrastructureError) as caught:
        start_engine(
            ["x"], machine.run, machine.said.append, answers=lambda: False, log=log, patience=0
        )
    assert "iptables: no chain" in str(caught.value)
    assert "line 10\n" not in str(caught.value)
    assert "iptables-legacy" in str(caught.value)


def test_a_command_is_run_with_its_output_kept() -> None:
    assert run_command("sh -c 'echo out; echo err >&2; exit 3'") == CommandResult(3, "out\nerr\n")


def test_a_command_that_is_not_there_is_a_plain_failure() -> None:
    said: list[str] = []
    with pytest.raises(InfrastructureError, match="exit status 127"):
        must("distromatrix-no-such-command", run_command, said.append)
    assert said == ["$ distromatrix-no-such-command"]


def test_after_the_mending_it_says_what_changed_and_what_is_still_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    still = Check(name="tar", status="missing", found="no tar")
    mended = replace(NO_ENGINE, status="ok", found="Docker")
    looks = [(FINE, NO_TOOLS, still, NO_ENGINE), (FINE, NO_TOOLS, still, mended)]
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: looks.pop(0))
    monkeypatch.setattr(doctor, "fix", lambda *_, **__: True)
    said = CliRunner().invoke(command, ["--fix", "--yes"], standalone_mode=False)
    assert said.return_value == EXIT_INFRASTRUCTURE
    found = [line.split()[1:] for line in said.output.splitlines()]
    assert [words[0] for words in found] == ["git", "image", "tar", "container", "tar", "container"]
    assert found[-1] == ["container", "engine", "Docker"]
