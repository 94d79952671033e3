"""What our own helper commands print is kept so far and no farther, whoever's programs they are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from distromatrix.engines.answer import MOST, Answer, ask, ask_disk_free
from distromatrix.engines.contract import Command, Exit
from distromatrix.errors import InfrastructureError, MachineGoneError


def test_the_first_bytes_are_kept_of_however_many() -> None:
    said = Answer()
    tracemalloc.start()
    for _ in range(1024):  # a gibibyte
        said(bytes(1 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert bytes(said) == bytes(MOST)
    assert peak < 8 << 20


def test_it_is_text_and_bytes_and_empty() -> None:
    said = Answer(8)
    assert not said
    for piece in (b" 6.1.0", b"\xff-more"):
        said(piece)
    assert (bytes(said), str(said)) == (b" 6.1.0\xff-", "6.1.0\N{REPLACEMENT CHARACTER}-")


class Saying:
    """A machine whose helpers print such pieces; `left` are those that nobody heard."""

    name, scale = "box", 2.0

    def __init__(self, *pieces: bytes, status: int | None = 0) -> None:
        self.left, self.status, self.killed = list(pieces), status, ""

    def run(self, command: Command) -> Exit:
        assert command.output is not None
        while self.left:
            command.output(self.left.pop(0))
        if self.status == 255:
            raise InfrastructureError("the engine does not answer")
        return Exit(status=self.status, seconds=0.0)

    def kill(self, why: str = "") -> None:
        self.killed = why


@pytest.mark.parametrize("status", [0, 3, None])
def test_a_helper_says_what_it_printed_however_it_ended(status: int | None) -> None:
    machine = Saying(b"6.", b"1.0\n", status=status)
    assert (ask(machine, "uname -r"), machine.killed) == ("6.1.0", "")  # type: ignore[arg-type]


@pytest.mark.parametrize("helper", [ask, ask_disk_free])
def test_a_machine_whose_helpers_flood_is_given_up_at_once(helper: Callable[..., object]) -> None:
    machine = Saying(*[b"flood\n" * 1000] * 1000)
    with pytest.raises(MachineGoneError, match=r"box was given up: .* prints without end"):
        helper(machine, "df")
    assert machine.killed.startswith("was given up")
    assert len(machine.left) > 900


@pytest.mark.parametrize(
    ("said", "status", "free"),
    [
        (b"Filesystem 1024-blocks Used Available\noverlay 9 1 8 12% /\n", 0, 8192),
        (b"df: /x: No such file or directory\n", 1, None),
        (b"", 0, None),
        (b"", 255, None),
    ],
)
def test_what_is_free_is_read_where_it_is_said(said: bytes, status: int, free: int | None) -> None:
    assert ask_disk_free(Saying(said, status=status), "/x") == free  # type: ignore[arg-type]
