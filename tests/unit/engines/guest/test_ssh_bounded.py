"""What a guest says over ssh is kept so far, waited for so long, and none of it stalls it."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from threading import Timer

import pytest

from distromatrix.engines.answer import MOST
from distromatrix.engines.contract import Command
from distromatrix.engines.shell.shell import Shell, ShellEndedError
from distromatrix.engines.vagrant.ssh import Connection
from distromatrix.errors import InfrastructureError

_SSH = f"""#!{sys.executable}
import os, sys, time
for _ in range(200):
    os.write(2, b"x" * (1 << 16))  # far more than a pipe holds
how = sys.argv[-1]
if how == "for ever":
    while True:
        os.write(2, b"x" * (1 << 16))
if how == "asleep":
    time.sleep(600)
fed = sys.stdin.buffer.read()
os.write(1, b"%d" % len(fed) * 10)
sys.exit(3 if how == "fail" else 0)
"""


def speaking(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A connection whose ssh is that program."""
    program = tmp_path / "ssh"
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Connection(tmp_path, tmp_path)


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connection:
    return speaking(_SSH, tmp_path, monkeypatch)


def test_what_is_said_while_it_is_fed_is_bounded(guest: Connection) -> None:
    tracemalloc.start()
    status, said = guest.send(iter([bytes(1 << 20)] * 4), "fail", within=60.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (status, len(said)) == (3, MOST)
    assert peak < 8 << 20


@pytest.mark.parametrize("how", ["for ever", "asleep"])
def test_what_does_not_end_is_lost(guest: Connection, how: str) -> None:
    tar = iter([bytes(1 << 20)] * 4)
    assert guest.send(tar, how, within=0.5) == (255, "no answer within 0 seconds")


def test_what_floods_stderr_does_not_stall_what_comes(guest: Connection) -> None:
    assert b"".join(guest.receive("well")) == b"0" * 10
    with pytest.raises(InfrastructureError, match="do not come") as failed:
        list(guest.receive("fail"))
    assert len(str(failed.value)) < 2 * MOST


@pytest.mark.parametrize("how", ["for ever", "asleep"])
def test_what_never_comes_is_an_error(guest: Connection, how: str) -> None:
    with pytest.raises(InfrastructureError, match="do not come"):
        list(guest.receive(how, within=0.5))


def test_what_a_shell_that_does_not_begin_complains_of_is_heard_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complains = "#!/bin/sh\nexec 1>&- 0<&-\necho no >&2\nsleep 0.2\necho sudo >&2\n"
    shell = Shell(speaking(complains, tmp_path, monkeypatch).stream(":"))
    with pytest.raises((ShellEndedError, OSError)):
        shell.run(Command(":", timeout=60.0, strict=False))
    shell.drain(60.0)
    assert shell.stream.receive(600.0) == []  # it has ended, and says so each time
    shell.stream.close()
    assert shell.said == b"no\nsudo\n"


def test_who_waits_for_a_shell_that_is_shut_down_waits_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = speaking("#!/bin/sh\nexec sleep 600\n", tmp_path, monkeypatch).stream(":")
    Timer(0.2, stream.shutdown).start()
    assert stream.receive(60.0) == []
    stream.close()
