"""What suites leave running, fork bombs above all, in real containers."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_world import Project

from distromatrix.engines import open_engine
from distromatrix.engines.contract import LABEL_FOLDER, LABEL_HOST, LABEL_RUN, Command, MachineSpec
from distromatrix.engines.docker import outside as docker_outside
from distromatrix.engines.docker.machine import DockerMachine
from given import alpine_or_pulled

pytestmark = pytest.mark.engine
alone = pytest.mark.alone  # a bomb is no neighbour
PODMAN = pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.slow])

# Who cannot fork goes on trying.
BOMB = """awk 'BEGIN { while (1) system("sh ./bomb &") }'\n"""
DAEMON = """export green='<testsuite><testcase name="a"/></testsuite>'
daemon='trap "" TERM HUP; exec 9>$DISTROMATRIX_ARTIFACTS/held
while :; do echo z >&9; echo $green >x; mv x $DISTROMATRIX_JUNIT; done'
(setsid sh -c "$daemon" >/dev/null 2>&1 &)
while [ ! -s $DISTROMATRIX_ARTIFACTS/held ]; do :; done
echo "<testsuite><testcase name=\\"a\\"><failure/></testcase></testsuite>" >$DISTROMATRIX_JUNIT"""


@pytest.fixture(params=["docker", PODMAN])
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """A product on Alpine with few processes."""
    made = Project(tmp_path / "p", alpine_or_pulled().parent, engine=request.param)
    (made.root / "bomb").write_text(BOMB)
    yield made
    made.clean()


def bombs(project: Project, timeout: str, **suite: str) -> None:
    limits = {"timeout": timeout, "network": False, "memory": "256M", "pids": 150}
    project.suites({"s": suite}, defaults=limits)


@alone
def test_a_fork_bomb_is_over_with_its_suites_time(hostile: Project) -> None:
    bombs(hostile, "4s", run="sh ./bomb", restore="true")
    assert hostile.call("run").code == 1
    cell = hostile.results()["s"]
    assert (cell["verdict"], cell["phase"]) == ("failed", "run")
    assert cell["reason"].startswith("timed out after 4 s, running: ")
    assert cell["warnings"] == ["restore did not run: the timeout had ended its machine"]
    assert cell["seconds"] < 16  # 6; it took 24 and 41 when nothing of ours got its turn
    assert hostile.left() == []


@alone
def test_a_fork_bomb_that_is_left_behind_costs_no_result(hostile: Project) -> None:
    left = "sh ./bomb & echo a >$DISTROMATRIX_ARTIFACTS/a; sleep 1; exit 3"
    bombs(hostile, "60s", run=left)
    assert hostile.call("run", "--retries", "0").code == 1
    cell = hostile.results()["s"]
    assert (cell["verdict"], cell["reason"]) == ("failed", "exit status 3")
    assert [file.read_text() for file in hostile.latest.rglob("artifacts/a")] == ["a\n"]


@alone
def test_a_fork_bomb_that_setup_leaves_is_the_products_failure(hostile: Project) -> None:
    bombs(hostile, "60s", setup="sh ./bomb & sleep 1", run="true")
    assert hostile.call("run").code == 1
    cell = hostile.results()["s"]
    assert cell["verdict"] == "failed"
    # Its shell cannot begin the next command, or that one nothing of its own.
    said = ("could begin no more processes (pids: 150)", "whether setup left a report cannot be")
    assert any(words in cell["reason"] for words in said)


def test_a_daemon_neither_writes_while_its_files_are_taken_out_nor_after(hostile: Project) -> None:
    hostile.suites({"s": {"run": DAEMON}})
    assert hostile.call("run", "--keep", "always").code in (0, 1)  # whose report was the last
    cell = hostile.results()["s"]
    assert cell["cases"]["passed"] + cell["cases"]["failed"] == 1
    assert "warnings" not in cell or not cell["warnings"]
    (kept,) = (name for name in hostile.left() if name.startswith("distromatrix-kept-"))
    top = [hostile.engine, "top", kept]
    listed = subprocess.run(top, capture_output=True, text=True, check=True).stdout
    assert "read" in listed  # its main shell
    assert "held" not in listed


@pytest.fixture(params=["docker", PODMAN])
def machine(request: pytest.FixtureRequest) -> Iterator[DockerMachine]:
    engine = open_engine(request.param)
    image = request.getfixturevalue(f"{request.param}_alpine")
    labels = {LABEL_RUN: "left", LABEL_FOLDER: "/nowhere", LABEL_HOST: "host"}
    name = f"distromatrix-left-{secrets.token_hex(6)}"
    spec = MachineSpec(name=name, image=image, labels=labels, network=False, user="1000:1000")
    opened = engine.open(spec)
    assert isinstance(opened, DockerMachine)
    yield opened
    opened.close()
    engine.close()


def test_it_is_seen_from_outside_whether_all_has_ended(
    machine: DockerMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_outside, "SIGNALLED_WITHIN", 0.2)
    machine.run(Command("sleep 1234 & sleep 1235 &"))
    assert not docker_outside.ends_alone(machine.container)
    assert machine.signal_left("KILL")
    assert docker_outside.ends_alone(machine.container)
    assert machine.run(Command("exit 7")).status == 7


def test_who_keeps_a_machine_from_ending_what_runs_loses_it(
    machine: DockerMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_outside, "SIGNALLED_WITHIN", 0.2)
    monkeypatch.setattr(machine, "_signal_left", lambda _signal: None)  # its main shell is theirs
    machine.run(Command("echo a >/tmp/a; sleep 1234 &"))
    assert not machine.signal_left("KILL")
    assert b"a\n" in b"".join(machine.get("/tmp/a"))
