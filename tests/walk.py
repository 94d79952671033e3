"""A page's blocks done in order, as its reader does, by the comments before them:

- `run`: the block is run; `engine`, `guests`: likewise, where these are. `, exit N`: it ends so.
- `prints`: what the block before it printed has these lines, in this order.
- `written`: matrix/default.yaml is this, but for its comments.
- `added`: the block is added to matrix/default.yaml.
- `file PATH`: the block is the product's file of that name.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from documents import Block, alike, blocks
from quick_python import quick_python


def walk(page: Path, product: Path, environ: Mapping[str, str], *having: str) -> None:
    """Do what the page says, in the product's folder, up to where more is used than is there:
    `engine`, `guests`."""
    matrix = product / "matrix/default.yaml"
    printed = ""
    for block in blocks(page):
        kind, _, rest = block.note.partition(", exit ")
        if kind in ("engine", "guests") and kind not in having:
            return
        if kind in ("run", "engine", "guests"):
            printed = _run(block, int(rest or 0), product, environ)
        elif kind == "prints":
            _compare(block, printed)
        elif kind == "written":
            assert yaml.safe_load(matrix.read_text()) == yaml.safe_load(block.text), block
        elif kind == "added":
            matrix.write_text(matrix.read_text() + block.text)
        elif kind.startswith("file "):
            path = product / kind.removeprefix("file ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text)


def environ_with_program(folder: Path) -> dict[str, str]:
    """An environment in which `distromatrix` is this one, with no settings of the user's."""
    program = folder / "bin/distromatrix"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {quick_python()} -m distromatrix "$@"\n')
    program.chmod(0o755)
    kept = ("DISTROMATRIX_ARCHIVES", "DISTROMATRIX_REGISTRY")
    inherited = {n: v for n, v in os.environ.items() if n in kept or "DISTROMATRIX" not in n}
    return {
        **inherited,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "DISTROMATRIX_TRUST": "all",
        "DISTROMATRIX_ACCEL": "tcg",
        "COLUMNS": "120",
    }


def _run(block: Block, status: int, product: Path, environ: Mapping[str, str]) -> str:
    command = ["sh", "-e", "-c", block.text]
    done = subprocess.run(
        command, cwd=product, env=environ, capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == status, f"{block}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def _compare(block: Block, printed: str) -> None:
    lines = iter(alike(line) for line in printed.splitlines())
    for line in filter(None, map(alike, block.text.splitlines())):
        assert any(there.startswith(line) for there in lines), f"{block}: {line}\n{printed}"
