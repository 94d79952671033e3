"""`distromatrix completion`: what real shells complete by it."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from select import select

import pytest
from cli_world import Cli

from distromatrix.cli import COMMANDS
from given import unobtainable
from quick_python import quick_python

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


PROGRAM = """\
#!/bin/sh
[ -z "$_DISTROMATRIX_COMPLETE" ] && [ "$1" != completion ] || exec {python} -m distromatrix "$@"
printf 'CALLED %s END\\n' "$*"
"""


def program(project: Path) -> Path:
    """The folder in which `distromatrix` completes, and else says what it was called with."""
    file = project / "bin/distromatrix"
    file.parent.mkdir(exist_ok=True)
    file.write_text(PROGRAM.format(python=quick_python()))
    file.chmod(0o755)
    return file.parent


def completed(folder: Path, *words: str) -> list[str]:
    """What bash proposes for the last of the words; nothing may be said beside that."""
    environ = os.environ | {"PATH": f"{program(folder)}:{os.environ['PATH']}"}
    bash = ["bash", "--norc", "-c", ASK, "bash", "distromatrix", *words]
    done = subprocess.run(bash, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["run", ""], ["one", "two"]),
        (["run", "one"], ["one", "one/good", "one/other"]),
        (["why", "two/o"], ["two/other"]),
        (["plan", "--format", "g"], ["github"]),
        (["run", "-C", "/nowhere", "o"], []),
    ],
)
def test_bash_proposes_all_names_that_begin_so(
    project: Path, words: list[str], proposed: list[str]
) -> None:
    (project / "matrix/default.yaml").write_text(MATRIX)
    assert completed(project, *words) == proposed


def test_a_broken_matrix_is_no_noise_between_two_keys(project: Path) -> None:
    (project / "matrix/default.yaml").write_text("suites: [")
    assert completed(project, "run", "o") == []
    assert completed(project, "") == list(COMMANDS)


# How each is called, where the script of `completion` lies, and what is read before it.
SHELLS = {
    "bash": (["bash", "--rcfile", ".bashrc"], ".bashrc", "PS1='READY> '\n"),
    "zsh": (
        ["zsh", "-d"],  # without the system's own settings
        ".zshrc",
        "PS1='READY> '; unsetopt prompt_sp; bindkey -e; autoload -U compinit; compinit -D -u\n",
    ),
    "fish": (
        ["fish", "-C", "function fish_prompt; echo 'READY> '; end; set fish_greeting"],
        ".config/fish/completions/distromatrix.fish",
        "",
    ),
}


@pytest.fixture(params=SHELLS)
def typed(request: pytest.FixtureRequest, project: Path, cli: Cli) -> Iterator[Callable[..., str]]:
    """Types a line at a terminal of that shell, and says what it called the program with."""
    command, where, before = SHELLS[request.param]
    if not shutil.which(request.param):
        unobtainable(f"there is no {request.param} (`make shells` installs it)")
    file = project / where
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(before + cli("completion", request.param).out)
    environ = {
        **{name: str(project) for name in ("HOME", "ZDOTDIR")},
        "XDG_CONFIG_HOME": f"{project}/.config",
        "PATH": f"{program(project)}:{os.environ['PATH']}",
        "TERM": "dumb",
    }
    ours, theirs = pty.openpty()
    terminal = ["sh", "-c", 'exec "$@" <>"$0" >&0 2>&1', os.ttyname(theirs)]
    process = subprocess.Popen(
        [*terminal, *command], cwd=project, env=os.environ | environ, start_new_session=True
    )

    def shown(pattern: bytes) -> str:
        seen = b""
        while not (found := re.search(pattern, seen, re.DOTALL)):
            assert select([ours], [], [], 60)[0], seen
            seen += os.read(ours, 65536)
        return found[1].decode()

    def call(keys: str) -> str:
        os.write(ours, f"distromatrix {keys}\r".encode())
        return shown(rb"CALLED (.*) END.*READY> ")

    shown(rb"(READY)> ")
    yield call
    process.kill()
    process.wait()
    os.close(theirs)
    os.close(ours)


def test_tab_completes_at_a_terminal(project: Path, typed: Callable[..., str]) -> None:
    (project / "matrix/default.yaml").write_text(MATRIX)
    (project / "tests/good").mkdir(parents=True)  # no file is taken for what a glob means
    assert typed("pl\t--verb\t") == "plan --verbose"
    assert typed("run tw\t") == "run two"
    assert typed("run one/g\ttwo/o\t") == "run one/good two/other"
    assert typed("plan '*/g\t") == "plan */good"
    assert typed("plan --tag q\t--set=\t") == "plan --tag quick --set=pr"
    assert typed("add-distro new --like tw\t") == "add-distro new --like two"
