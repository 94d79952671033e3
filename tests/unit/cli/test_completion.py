"""`distromatrix completion`: what a real bash completes by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_world import Cli

from distromatrix.cli import COMMANDS

MATRIX = """\
product: .
distros: [one, two]
suites:
  good: {run: echo fine, tags: [quick]}
  other: {run: exit 3}
sets: {pr: {tags: [quick]}}
"""
ASK = """
eval "$(distromatrix completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_distromatrix_completion distromatrix
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(folder: Path, *words: str) -> list[str]:
    """What bash proposes for the last of the words; nothing may be said beside that."""
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    bash = ["bash", "--norc", "-c", ASK, "bash", "distromatrix", *words]
    done = subprocess.run(bash, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["pl"], ["plan"]),
        (["run", "--rep"], ["--repeat"]),
        (["run", ""], ["one", "two"]),
        (["run", "one"], ["one", "one/good", "one/other"]),
        (["plan", "'*/g"], ["*/good"]),
        (["why", "two/o"], ["two/other"]),
        (["plan", "--set", ""], ["pr"]),
        (["plan", "--tag", "q"], ["quick"]),
        (["add-distro", "new", "--like", "tw"], ["two"]),
        (["plan", "--format", "g"], ["github"]),
        (["run", "-C", "/nowhere", "o"], []),
    ],
)
def test_bash_completes_commands_options_and_names_of_the_matrix(
    project: Path, words: list[str], proposed: list[str]
) -> None:
    (project / "matrix/default.yaml").write_text(MATRIX)
    assert completed(project, *words) == proposed


def test_a_broken_matrix_is_no_noise_between_two_keys(project: Path) -> None:
    (project / "matrix/default.yaml").write_text("suites: [")
    assert completed(project, "run", "o") == []
    assert completed(project, "") == list(COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shells_script_calls_the_program(cli: Cli, shell: str) -> None:
    said = cli("completion", shell)
    assert (said.code, said.err) == (0, "")
    assert f"_DISTROMATRIX_COMPLETE={shell}_complete" in said.out
