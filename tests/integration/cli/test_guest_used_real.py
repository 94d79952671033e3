"""A real direct guest as people and tests use it: a shell by pipe and by terminal, testinfra,
machines of pytest that restart."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.guest]

MATRIX = """\
product: .
distros: [debian-12]
defaults: {memory: 512M, network: false}
suites:
  s: {run: 'echo trace > left-here; false', needs: [kernel-modules], user: tester,
      setup: {in: container, run: echo made on $DISTROMATRIX_ENGINE >here}, env: {WORDS: two words}}
"""
TESTS = """\
import pytest
testinfra_hosts = ["distromatrix://debian-12?suite=s&engine=qemu"]

def test_checks(host):
    assert host.system_info.codename == "bookworm"
    assert host.package("dpkg").is_installed
    assert host.file("/distromatrix/product/here").content == b"made on docker\\n"
    assert host.run("exit 7").rc == 7
"""
WAITS = """\
trap 'echo it goes on' CONT
echo it has begun
while :; do sleep 0.2; done
"""
RESTARTS = """\
import pytest
pytestmark = [pytest.mark.distros("debian-12", suite="s"), pytest.mark.needs("reboot")]
BOOT = "cat /proc/sys/kernel/random/boot_id"

def restarted(machine):
    before = machine.run("echo kept >file; sleep 100000 & " + BOOT).stdout
    machine.reboot()
    after = machine.run(BOOT, check=True).stdout
    assert before.strip() and after.strip() and before != after
    assert machine.get(machine.product + "/file") == b"kept\\n"
    assert machine.host.file(machine.product + "/here").content == b"made on docker\\n"

def test_fresh(fresh_machine): restarted(fresh_machine)
def test_shared(machine): restarted(machine)
def test_after(machine): assert machine.run("cat file").stdout == "kept\\n"
"""


@pytest.fixture
def product(tmp_path: Path) -> Path:
    for folder in ("matrix", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "matrix/default.yaml").write_text(MATRIX)
    (tmp_path / "tests/test_hosts.py").write_text(TESTS)
    (tmp_path / "tests/test_restarts.py").write_text(RESTARTS)
    (tmp_path / "waits").write_text(WAITS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def call(product: Path, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, cwd=product, input=said, capture_output=True, text=True, check=False, timeout=300
    )


class Terminal:
    """Somebody who sits at a terminal of 100 columns and 30 lines."""

    def __init__(self, product: Path, *words: str) -> None:
        self.process, self.end = pty.fork()
        if self.process == 0:
            os.chdir(product)
            os.execv(sys.executable, [sys.executable, "-m", *words])
        self.resize(100, 30)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def types(self, text: str, until: str) -> str:
        """What is shown until that text is."""
        os.write(self.end, text.encode())
        return self.shows(until)

    def shows(self, text: str) -> str:
        shown, deadline = "", time.monotonic() + 120
        while text not in shown:
            ready, _, _ = select.select([self.end], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"not shown: {text!r}; but: {shown!r}"
            shown += os.read(self.end, 65536).decode(errors="replace")
        return shown

    def status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.mark.slow
def test_a_guest_is_entered_by_pipe_and_by_terminal(product: Path) -> None:
    cell = "debian-12/s"
    script = 'cat here; echo "$WORDS"; id -un; test -t 0; echo $?; cat /proc/version; exit 5\n'
    piped = call(product, "distromatrix", "shell", cell, said=script)
    lines = piped.stdout.splitlines()
    assert lines[:4] == ["made on docker", "two words", "tester", "1"], piped.stderr
    assert "Debian" in lines[4]
    assert piped.returncode == 5

    failed = call(product, "distromatrix", "run", "--keep", "failed")
    assert failed.returncode == 1
    (row,) = [
        row
        for row in json.loads(call(product, "distromatrix", "guests", "list", "--json").stdout)
        if row["kind"] == "guest" and row["name"] in failed.stdout
    ]
    try:
        terminal = Terminal(product, "distromatrix", "guests", "enter", row["name"])
        terminal.shows("$ ")
        assert "trace" in terminal.types("cat left-here\r", "trace\r\n$ ")
        assert "30 100" in terminal.types("stty size; tty\r", "/dev/pts/0\r\n$ ")
        terminal.resize(70, 20)
        while "20 70" not in terminal.types("stty size\r", "\n$ "):
            pass
        # Ctrl-Z and Ctrl-C are for the program, and not for the shell, from its first word on.
        terminal.types("sh waits\r", "it has begun\r\n")
        terminal.types("\x1a", "Stopped")
        terminal.types("fg\r", "it goes on\r\n")
        terminal.types("\x03", "$ ")
        terminal.types("exit 9\r", "exit 9")
        assert terminal.status() == 9
        again = call(product, "distromatrix", "shell", cell, said="cat left-here; exit 3")
        assert (again.stdout, again.returncode) == ("trace\n", 3)
    finally:
        removed = call(product, "distromatrix", "guests", "remove", row["name"])
    assert removed.returncode == 0
    assert row["name"] not in call(product, "distromatrix", "guests", "list").stdout


@pytest.mark.slow
def test_checks_and_restarts_of_a_guest_in_pytest(product: Path) -> None:
    done = call(product, "pytest", "-n", "1", "-q", "-p", "no:randomly", "-p", "no:cacheprovider")
    assert "4 passed" in done.stdout, done.stdout
    assert list((product / ".distromatrix").glob("sessions/*")) == []
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    ours = [line for line in running.stdout.splitlines() if str(product) in line]
    assert ours == []
