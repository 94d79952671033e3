"""A suite's scripts under the shell that it asks for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from executing import World, cell
from loading import Project

from distromatrix.engines.shell.processes import Process, describe
from distromatrix.model import HostFacts, Selection, Verdict
from distromatrix.plan.make import make_plan
from distromatrix.plan.scripts import SHELLS, under
from distromatrix.wording import quoted


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(shell: str, script: str) -> subprocess.CompletedProcess[str]:
    """As a machine runs what is strict."""
    command = ["/bin/sh", "-e", "-c", under(shell, script)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_sh_gets_the_script_as_it_is() -> None:
    assert under("sh", "a | b") == "a | b"


@pytest.mark.parametrize("shell", ["bash", "/bin/bash"])
def test_bash_has_its_own_words_and_quotes_stay_what_they_are(shell: str) -> None:
    script = "[[ a == a ]]\nx=(1 2)\necho \"it's ${x[1]} $#\" '\"'\n# a comment's"
    assert run(shell, script).stdout == "it's 2 0 \"\n"


def test_bash_ends_at_the_first_failure_also_in_a_pipe() -> None:
    assert run("bash", "false; echo on").stdout == ""
    assert run("bash", "exit 3 | cat; echo on").returncode == 3
    assert run("sh", "exit 3 | cat; echo on").stdout == "on\n"


def test_a_script_longer_than_an_argument_may_be_runs_whole() -> None:
    script = f"[[ a == a ]]; : '{'é' * 100_000}'; echo \"${{_dm_s-unset}} $# $0\"; exit 7"
    done = subprocess.run(
        ["/bin/sh", "-e"], input=under("bash", script), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (7, "unset 0 bash\n")


def test_a_shell_that_is_not_there_is_told_of(world: World) -> None:
    result = world.execute(cell("a/s", "true", shell="/opt/no/zsh")).cells[0]
    assert (result.verdict, result.reason) == (Verdict.FAILED, "exit status 127")
    assert result.tail == ("distromatrix: there is no shell /opt/no/zsh in this image",)


def test_setup_run_and_the_hooks_are_for_the_suites_shell(world: World) -> None:
    words = "[[ $BASH_VERSION ]] && echo {}"
    scripts = {"debug": words.format("debug"), "restore": words.format("restore")}
    asked = cell("a/s", f"{words.format('run')}; exit 1", setup=(words.format("setup"),), **scripts)
    (plain,) = world.execute(asked).cells
    assert "debug" not in plain.debug
    (result,) = world.execute(cell(**{**_fields(asked), "shell": "bash"})).cells
    log = (world.run / "cells/a/s/log.txt").read_text().splitlines()
    assert [line for line in log if "---" not in line] == ["setup", "run", "debug", "restore"]
    assert result.warnings == ()


def _fields(asked: object) -> dict[str, object]:
    names = ("id", "run", "setup", "debug", "restore")
    return {name: getattr(asked, name) for name in names}


def test_a_matrix_names_a_shell_for_a_suite_or_for_all(tmp_path: Path, facts: HostFacts) -> None:
    matrix = Project(tmp_path).load(
        """\
        distros: [debian-12]
        defaults: {shell: bash, prepare: "a | b"}
        suites:
          unit: {run: x}
          plain: {run: x, shell: sh}
        """
    )
    cells = {c.suite: c for c in make_plan(matrix, facts, Selection()).cells}
    assert {name: c.shell for name, c in cells.items()} == {"unit": "bash", "plain": "sh"}
    prepared = {name: c.prepare.run for name, c in cells.items() if c.prepare}
    assert prepared["plain"] == "a | b"
    assert prepared["unit"] == under("bash", "a | b")


@pytest.fixture
def facts() -> HostFacts:
    from datetime import date

    return HostFacts(arch="x86_64", cpus=2, memory=2**32, today=date(2026, 11, 23))


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("bsh", "did you mean `bash`?"), ("python3", ""), ("bash -x", ""), ("./bash", "")],
)
def test_what_is_no_shell_is_refused(tmp_path: Path, asked: str, hint: str) -> None:
    text = f'distros: [debian-12]\nsuites:\n  unit: {{run: x, shell: "{asked}"}}\n'
    fault = Project(tmp_path).fault(text)
    assert f"got {quoted(asked)}" in fault.message and "`bash`" in fault.message
    assert (fault.line, fault.column) == (3, 25)
    assert hint in fault.hint


def test_a_script_of_another_shell_says_less_than_what_it_called() -> None:
    processes = [
        Process(1, 0, 9.0, "/bin/sh"),
        Process(2, 1, 8.0, "bash -e -o pipefail -c sleep 9 | cat"),
        Process(3, 2, 8.0, "sleep 9"),
    ]
    assert describe(processes) == "sleep 9 (for 00:08)"
    assert "bash" in SHELLS
