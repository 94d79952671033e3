"""A machine as a test has it."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from distromatrix.collect.text import printable, shorten
from distromatrix.engines.contract import Command, Machine
from distromatrix.engines.parcel import ids_of
from distromatrix.files.small_tar import tar_of
from distromatrix.testing.contract import MachineRequest
from distromatrix.testing.machines.printed import Printed

if TYPE_CHECKING:
    import testinfra.host

TAIL = 20  # lines of each output that a failure shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a command in a machine ended. `status` is the shell's (128+n for a signal n), None
    where its timeout ended it; then `hung` names what still ran."""

    script: str
    status: int | None
    stdout_bytes: bytes
    stderr_bytes: bytes
    seconds: float
    hung: str = ""

    @property
    def timed_out(self) -> bool:
        """Whether its timeout ended it."""
        return self.status is None

    @property
    def ok(self) -> bool:
        """Whether its status is 0."""
        return self.status == 0

    @property
    def stdout(self) -> str:
        """What it wrote to its standard output, as UTF-8; what is none becomes U+FFFD."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """The same of its standard error."""
        return self.stderr_bytes.decode("utf-8", "replace")


class CommandFailed(AssertionError):  # noqa: N818 - what failed is the command
    """A command that had to succeed did not (`run` with `check`). `done` is how it ended."""

    def __init__(self, where: str, done: Completed) -> None:
        self.done = done
        super().__init__("\n".join(_failure(where, done)))


def _failure(where: str, done: Completed) -> list[str]:
    how = f"exit status {done.status}"
    if done.timed_out:
        how = f"timed out after {done.seconds:.1f} s"
        how += f" in {printable(done.hung)}" if done.hung else ""
    lines = [f"{where}: {how}"]
    lines += [f"  $ {line}" for line in printable(done.script).strip("\n").split("\n")]
    for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        said = printable(text).rstrip("\n").split("\n") if text.strip() else []
        if len(said) > TAIL:
            lines.append(f"{name} (the last {TAIL} of {len(said)} lines):")
        elif said:
            lines.append(f"{name}:")
        lines += [f"  {shorten(line, 500)}" for line in said[-TAIL:]]
    return lines


class TestMachine:
    """A machine for tests. Commands run in it as its user, in a shell that is kept open."""

    __test__ = False  # for pytest: no tests in here

    def __init__(
        self, want: MachineRequest, machine: Callable[[], Machine], restart: Callable[[], None]
    ) -> None:
        self._want = want
        self._machine = machine
        self._restart = restart

    def __repr__(self) -> str:
        return f"<machine {self._want}>"

    @property
    def name(self) -> str:
        """Its name on the engine (`docker exec -it NAME sh` while the test waits)."""
        return self._machine().name

    @property
    def product(self) -> str:
        """Where in it the product is, a private copy; '' where no suite was asked for."""
        return self._machine().product

    def run(
        self,
        script: str,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        timeout: float | None = None,
        check: bool = False,
    ) -> Completed:
        """Run a script of POSIX sh, with nothing on its standard input.

        `env` is added to the machine's variables; `cwd`: where, else in the product, or in `/`
        where there is none; `timeout`: seconds until it is killed with all that it began.
        `check`: raise CommandFailed, an AssertionError that shows what it said, unless its
        status is 0.
        """
        __tracebackhide__ = True
        machine = self._machine()
        printed = Printed(str(self._want))
        exit_ = machine.run(
            Command(
                script,
                env=env or {},
                cwd=cwd or machine.product or "/",
                timeout=timeout,
                output=printed.out,
                errors=printed.err,
                strict=False,
            )
        )
        done = Completed(
            script=script,
            status=exit_.status,
            stdout_bytes=bytes(printed.stdout),
            stderr_bytes=bytes(printed.stderr),
            seconds=exit_.seconds,
            hung=exit_.hung,
        )
        if check and not done.ok:
            raise CommandFailed(str(self._want), done)
        return done

    def put(self, content: bytes | str | os.PathLike[str], path: str, *, mode: int = 0) -> None:
        """Put a file there: its bytes, its text, or (as a `Path`) a file or folder of this
        host. Folders that are missing above `path` are made; what is there is replaced.
        `mode` is 0o644 unless said, or that of the host's file."""
        __tracebackhide__ = True
        target = PurePosixPath(path)
        if not target.is_absolute() or not target.name:
            raise ValueError(f"{path!r}: expected the absolute path of a file in the machine")
        machine = self._machine()
        self.run('mkdir -p -- "$P"', env={"P": str(target.parent)}, check=True)
        machine.put(_tar(content, target.name, mode, machine.address.user), str(target.parent))

    def get(self, path: str) -> bytes:
        """What a file there holds. Raises FileNotFoundError, IsADirectoryError, and
        PermissionError where the machine's user may not read it."""
        __tracebackhide__ = True
        done = self.run(_GET, env={"P": path}, cwd="/")
        kinds = {41: FileNotFoundError, 42: IsADirectoryError, 43: PermissionError}
        if done.status in kinds:
            raise kinds[done.status](f"{self._want}: {path}")
        if not done.ok:
            raise CommandFailed(str(self._want), done)
        return done.stdout_bytes

    def reboot(self) -> None:
        """Restart it; it is up again when this returns, with its files, and all that ran in it
        has ended, commands of other tests too where they share it. For tests that say
        `@pytest.mark.needs("reboot")`: their machine is a guest."""
        __tracebackhide__ = True
        self._restart()

    @cached_property
    def host(self) -> testinfra.host.Host:
        """testinfra's host of this machine: `machine.host.file("/etc/passwd").exists`."""
        from distromatrix.testing.hosts import host_of

        return host_of(self._want, self._machine)


_GET = """[ -e "$P" ] || exit 41
[ ! -d "$P" ] || exit 42
[ -r "$P" ] || exit 43
exec cat -- "$P"
"""


def _tar(content: bytes | str | os.PathLike[str], name: str, mode: int, user: str) -> bytes:
    """A tar stream with that one file or folder, of the machine's user."""
    owner = ids_of(user)
    if not isinstance(content, os.PathLike):
        data = content.encode() if isinstance(content, str) else bytes(content)
        return tar_of(((name, data, mode or 0o644),), {name: owner})

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid, member.gid = owner
        member.uname = member.gname = ""
        if mode and member.isreg():
            member.mode = mode
        return member

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(Path(content), arcname=name, filter=owned)
    return buffer.getvalue()
