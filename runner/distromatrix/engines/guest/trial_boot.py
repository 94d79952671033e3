"""Boots a kernel in QEMU until a program runs in it, and says in words why it did not.

Nothing but QEMU and the kernel is needed: the initramfs and the one program in it are made here.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distromatrix.engines.guest.cpio import DEVICE, FOLDER, PROGRAM, CpioEntry, newc
from distromatrix.engines.guest.programs import say_and_power_off

MARKER = b"distromatrix: a program runs under this kernel"
MIB = 1024**2
_LIMIT = 1 << 18  # bytes of output that are kept
_GRACE = 2  # seconds after which `timeout` ends a QEMU whose starter was killed
_WIDTH = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one boot went: whether the marker came, after how many seconds, else why not.

    `killed`: someone else ended QEMU, which says nothing of the kernel or of KVM.
    """

    up: bool
    seconds: float
    why: str = ""
    killed: bool = False


def trial(
    qemu: Path, kernel: Path, initramfs: Path, *, machine: str, memory: int, cpus: int
) -> tuple[str, ...]:
    """QEMU's command line for a boot, without `-accel` and `-cpu`; memory in bytes."""
    return (
        *(str(qemu), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", machine, "-m", f"{memory // MIB}M", "-smp", str(cpus)),
        *("-kernel", str(kernel), "-initrd", str(initramfs)),
        # A kernel that panics restarts at once, which -no-reboot makes the end of QEMU.
        *("-append", "console=ttyS0 quiet panic=-1"),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
    )


def boot(command: Sequence[str], limit: float) -> Outcome:
    """Run that command until the marker comes, it ends, or `limit` seconds are over. Whatever
    happens, none of its processes is left: should this one be killed, `timeout` ends them.
    Raises OSError when it cannot be started."""
    guarded = ("timeout", "-s", "KILL", str(round(limit) + _GRACE), *command)
    started = time.monotonic()
    with subprocess.Popen(
        guarded,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            console, said, over = _listen(process, started + limit)
            seconds = time.monotonic() - started
            if MARKER in console:
                return Outcome(up=True, seconds=seconds)
            if over:
                why = f"the kernel does not come up within {limit:.0f} s"
                return Outcome(up=False, seconds=seconds, why=why)
            return _ended(process.wait(), console, said, seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def initramfs() -> Iterator[Path]:
    """A file with a root file system whose /init prints the marker and powers off."""
    with tempfile.TemporaryDirectory(prefix="distromatrix-accel-") as folder:
        file = Path(folder) / "initramfs"
        program = say_and_power_off(MARKER + b"\n")
        console = CpioEntry("dev/console", DEVICE, device=(5, 1))
        entries = (CpioEntry("dev", FOLDER), console, CpioEntry("init", PROGRAM, program))
        file.write_bytes(newc(entries))
        yield file


def _listen(process: subprocess.Popen[bytes], end: float) -> tuple[bytes, bytes, bool]:
    """What it wrote on stdout and stderr until the marker or its end, and whether time ran out."""
    console, said = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream, heard in ((process.stdout, console), (process.stderr, said)):
            if stream:
                selector.register(stream, selectors.EVENT_READ, heard)
        while selector.get_map() and MARKER not in console:
            left = end - time.monotonic()
            if left <= 0:
                return bytes(console), bytes(said), True
            for key, _ in selector.select(left):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                key.data.extend(data)
                del key.data[:-_LIMIT]
    return bytes(console), bytes(said), False


def _ended(status: int, console: bytes, said: bytes, seconds: float) -> Outcome:
    """QEMU ended and no program had run."""
    killed = b"terminating on signal" in said or status in (-signal.SIGKILL, -signal.SIGTERM)
    text = _telling(said)
    if killed:
        why = "QEMU was ended by someone else"
    elif status < 0:
        how = "aborts" if status == -signal.SIGABRT else f"dies of signal {-status}"
        why = f"QEMU {how}: {text}"
    elif status:
        why = f"QEMU ends with status {status}: {text}"
    else:
        why = f"the kernel ends before a program runs: {_last(console)}"
    return Outcome(up=False, seconds=seconds, why=why.removesuffix(": "), killed=killed)


def _telling(said: bytes) -> str:
    """The first line of QEMU's that is no warning, without its own name."""
    lines = [line for line in _lines(said) if "warning:" not in line] or _lines(said)
    line = lines[0] if lines else ""
    return line.partition(": ")[2].removeprefix("error: ")[:_WIDTH] or line[:_WIDTH]


def _last(console: bytes) -> str:
    """The line with which a kernel gave up, else its last one."""
    lines = _lines(console)
    panic = [line for line in lines if "Kernel panic" in line]
    return (panic or lines or [""])[-1][:_WIDTH]


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace")
    return [kept for line in text.splitlines() if (kept := line.strip())]
