"""What the tests of `shell` and of `guests` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_world import DISTRO, Cli, Said

from distromatrix.images import Images, Prepared
from distromatrix.model import Cell, Distro
from given import stdin_of

GUEST = "guest: {bootstrap: {kernel: linux, system: [init]}}\n"


@pytest.fixture
def piped(
    project: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """The command line with a text for its standard input. The module's MATRIX is the project's,
    and distro `one` has guests, which need no image of their own."""

    def guest(_: Images, __: Distro, ___: Cell, prepared: Prepared) -> Prepared:
        return prepared

    def call(text: str, *words: str) -> Said:
        (tmp_path / "stdin").write_text(text)
        with stdin_of(tmp_path / "stdin"):
            return cli(*words)

    monkeypatch.setattr(Images, "guest", guest)
    (project / "distros/one.yaml").write_text(DISTRO.replace("NAME", "one") + GUEST)
    return call
