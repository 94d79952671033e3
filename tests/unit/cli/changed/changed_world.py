"""A project in git, and what is changed in it."""

from __future__ import annotations

import json
from pathlib import Path

from checkouts import git
from cli_world import DISTRO, Cli

MATRIX = """\
product: .
distros: [one]
suites:
  src: {run: 'true', reads: [src/**]}
  doc: {run: 'true', reads: [docs/**, "*.md"]}
  all: {run: 'true'}
"""

SUPPORTED = DISTRO.replace("NAME", "one").replace("2020", "2999")

NOTHING = "nothing to run: no suite that is selected reads what changed\n"


def write(root: Path, *names: str, text: str = "other\n") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def commit(root: Path, *names: str) -> None:
    write(root, *names)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "x")


def left_out(cli: Cli, *args: str) -> set[str]:
    said = cli("plan", "--json", *(args or ("--changed",)))
    assert said.code == 0, said.err
    return {one["id"].split("/")[1] for one in json.loads(said.out)["excluded"]}


def refused(cli: Cli, *args: str) -> str:
    said = cli(*args)
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 1
    return said.err
