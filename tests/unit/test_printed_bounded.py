"""No stream of a machine ends in a keeper without a bound."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import distromatrix
from distromatrix.engines.guest.console import last_bytes
from distromatrix.errors import InfrastructureError
from distromatrix.testing.machines import printed as kept
from distromatrix.testing.machines.printed import Printed

ROOT = Path(distromatrix.__file__).parent
# A cell's log and the last lines of its output, which cut what they hear.
CUT = {("execute/cell/scripts.py", "log.write"), ("testing/bench/machines.py", "lines.write")}


def _keepers(tree: ast.AST) -> list[str]:
    """What is given as a keeper though it may keep all: a container's own methods."""
    return [
        ast.unparse(part)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for word in call.keywords
        if word.arg in ("output", "errors")
        for part in ast.walk(word.value)
        if isinstance(part, ast.Attribute) and part.attr in ("append", "extend", "write")
    ]


def test_no_stream_is_kept_without_a_bound() -> None:
    found = {
        (str(file.relative_to(ROOT)), keeper)
        for file in ROOT.rglob("*.py")
        for keeper in _keepers(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert found == CUT


def test_a_keeper_without_a_bound_is_seen() -> None:
    assert _keepers(ast.parse("run(x, output=kept.append)")) == ["kept.append"]


def test_a_tests_command_prints_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_PRINTED", 1 << 20)
    printed = Printed("alpine")
    printed.out(bytes(1 << 19))
    printed.err(bytes(1 << 19))
    with pytest.raises(InfrastructureError, match="alpine: a command printed more than 1 MiB"):
        printed.out(b"x")
    assert len(printed.stdout) == len(printed.stderr) == 1 << 19


def test_the_end_of_a_console_stays(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    console.write_bytes(bytes(3 << 20) + b"the end")
    shown = last_bytes(console)
    assert (len(shown), shown[-7:]) == (1 << 20, b"the end")
    assert last_bytes(tmp_path / "none") == b""
