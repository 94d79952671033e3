"""`shell` and `guests` where the machine is a guest. The fake engine plays the guests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_world import Said

from fake_engine.machine import FakeMachine

MATRIX = """\
product: .
distros: [one, two]
suites:
  plain: {run: echo fine, setup: echo done > set-up, env: {COLOUR: light green}}
  kernel: {run: 'echo trace > left-here; false', needs: [kernel-modules]}
"""


@pytest.fixture(autouse=True)
def _matrix(project: Path) -> None:
    (project / "matrix/default.yaml").write_text(MATRIX)


def test_a_shell_is_in_the_guest_that_the_plan_chose(piped: Callable[..., Said]) -> None:
    said = piped("echo $DISTROMATRIX_CELL $DISTROMATRIX_ENGINE; exit 7", "shell", "one/kernel")
    assert (said.code, said.out) == (7, "one/kernel qemu\n")
    assert piped("", "guests", "list").out == ""


def test_a_shell_is_in_the_guest_that_was_asked_for(piped: Callable[..., Said]) -> None:
    script = "cat set-up; echo $COLOUR $DISTROMATRIX_ENGINE"
    said = piped(script, "shell", "--engine", "vagrant", "one/plain")
    assert (said.code, said.out) == (0, "done\nlight green vagrant\n")
    assert piped("", "guests", "list").out == ""


@pytest.mark.parametrize("ends", ["", "; exit 3"])
def test_a_containers_setup_is_carried_into_the_guest_also_if_it_fails(
    piped: Callable[..., Said], project: Path, ends: str
) -> None:
    setup = f"setup: {{in: container, run: 'echo $DISTROMATRIX_ENGINE >set-up; rm gone{ends}'}}"
    (project / "gone").touch()
    matrix = MATRIX.replace("setup: echo done > set-up", setup)
    (project / "matrix/default.yaml").write_text(matrix)
    script = "cat set-up; test ! -e gone && echo $DISTROMATRIX_ENGINE"
    said = piped(script, "shell", "--engine", "qemu", "one/plain")
    assert (said.code, said.out) == (0, "fake\nqemu\n")
    assert "--- setup in a container\n--- setup\n" in said.err
    assert ("setup exited with status 3" in said.err) == bool(ends)
    assert "--- setup carried (0.0 MiB)" in said.err
    assert [path.name for path in (project / ".distromatrix/shells").glob("*")] == []


def test_without_the_programs_to_carry_it_setup_runs_in_the_guest_and_shell_says_so(
    piped: Callable[..., Said], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = "setup: {in: container, run: echo $DISTROMATRIX_ENGINE >>set-up}"
    matrix = MATRIX.replace("setup: echo done > set-up", setup)
    (project / "matrix/default.yaml").write_text(matrix)
    monkeypatch.setattr(FakeMachine, "note_state", lambda _: False)
    said = piped("cat set-up", "shell", "--engine", "qemu", "one/plain")
    assert (said.code, said.out) == (0, "qemu\n")
    assert "no GNU tar and find" in said.err


def test_an_emulated_guests_setup_has_the_time_that_its_suite_has_there(
    piped: Callable[..., Said], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = MATRIX.replace("echo done > set-up", "sleep 1.5; echo done > set-up, timeout: 1s")
    (project / "matrix/default.yaml").write_text(slow)
    monkeypatch.setattr(FakeMachine, "scale", 60.0)
    said = piped("cat set-up", "shell", "--engine", "qemu", "one/plain")
    assert (said.code, said.out) == (0, "done\n")
    assert "status" not in said.err


@pytest.mark.parametrize("engine", ["vagrant", "docker"])
def test_what_setup_prints_is_masked(
    piped: Callable[..., Said], project: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setenv("TOKEN", "a-secret-of-the-user's")
    setup = 'setup: echo "<$TOKEN>"; printf %s "$TOKEN" | base64; printf %.9s "$TOKEN"'
    matrix = MATRIX.replace("setup: echo done > set-up", setup).replace("{run: echo fine, ", "{")
    matrix = matrix.replace(setup, f"run: ':', setup: {json.dumps(setup[7:])}")
    (project / "matrix/default.yaml").write_text(f"{matrix}pass_env: [TOKEN]\n")
    said = piped("", "shell", "--engine", engine, "one/plain")
    assert said.code == 0
    assert "<***>\n***\na-secret-" in said.err


def test_a_distro_without_guests_is_told(piped: Callable[..., Said]) -> None:
    said = piped("", "shell", "--engine", "qemu", "two/plain")
    assert said.code == 2
    assert said.err == "shell: cannot use qemu for two/plain: its distro has no `guest:`\n"


def test_a_kept_guest_is_entered_listed_and_removed(piped: Callable[..., Said]) -> None:
    ended = piped("", "run", "one/kernel", "--keep", "failed")
    assert ended.code == 1
    (name,) = set(re.findall(r"distromatrix-kept-[\w-]+", ended.out))
    (row,) = json.loads(piped("", "guests", "list", "--json").out)
    assert (row["engine"], row["kind"], row["name"]) == ("qemu", "guest", name)
    inside = piped("cat left-here; echo $DISTROMATRIX_CELL", "shell", "one/kernel")
    assert inside.out == "trace\none/kernel\n"
    assert name in inside.err
    assert piped("cat left-here; exit 3", "guests", "enter", name).code == 3
    assert piped("", "guests", "remove", name).code == 0
    assert piped("", "guests", "list").out == ""
    gone = piped("", "guests", "enter", name)
    assert gone.code == 3
    assert gone.err == f"unknown guest {name} (`distromatrix guests list` lists all)\n"


CASES = """\
product: .
distros: [one]
suites:
  s:
    run: |
      echo "$DISTROMATRIX_ENGINE" >left-here
      tc="<testcase classname='c' name='x'>"
      if test "$DISTROMATRIX_ENGINE" = fake
      then tc="$tc<skipped message='needs: reboot'/></testcase>"
      else tc="$tc<failure/></testcase>"; fi
      echo "<testsuite>$tc</testsuite>" >"$DISTROMATRIX_JUNIT"
"""


def test_a_guest_that_was_kept_of_some_cases_is_the_cells_machine(
    project: Path, piped: Callable[..., Said]
) -> None:
    (project / "matrix/default.yaml").write_text(CASES)
    assert piped("", "run", "--keep", "failed").code == 1
    (row,) = json.loads(piped("", "guests", "list", "--json").out)
    inside = piped("cat left-here; echo $DISTROMATRIX_ENGINE", "shell", "one/s")
    assert (inside.out, inside.code) == ("qemu\nqemu\n", 0)
    assert row["name"] in inside.err
    fresh = piped("ls left-here; echo $DISTROMATRIX_ENGINE", "shell", "--fresh", "one/s")
    assert fresh.out == "fake\n"
    assert piped("", "guests", "remove", row["name"]).code == 0


def test_where_both_were_kept_it_is_the_container_and_the_guest_is_to_be_asked_for(
    project: Path, piped: Callable[..., Said]
) -> None:
    (project / "matrix/default.yaml").write_text(CASES)
    assert piped("", "run", "--keep", "always").code == 1
    inside = piped("cat left-here", "shell", "one/s")
    assert inside.out == "fake\n"
    assert "also kept, the guest of some of its cases: --engine qemu" in inside.err
    assert piped("cat left-here", "shell", "one/s", "--engine", "qemu").out == "qemu\n"
    (row,) = json.loads(piped("", "guests", "list", "--json").out)
    assert piped("", "guests", "remove", row["name"]).code == 0
