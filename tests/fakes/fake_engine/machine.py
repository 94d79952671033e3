"""A machine of the fake engine: a folder, and shells of this host."""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import signal as signals
import subprocess
import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import IO

from distromatrix.engines.changes import Changes
from distromatrix.engines.contract import Address, Command, Exit, LeftSignal, MachineSpec
from distromatrix.engines.guest.disk import bytes_of
from distromatrix.engines.shell.machine import ShellMachine
from distromatrix.engines.shell.processes import Process
from distromatrix.engines.shell.shell import LOOP, STDERR, STDOUT, Shell
from distromatrix.errors import InfrastructureError, MachineGoneError
from distromatrix.files.whole import read_json
from distromatrix.model import Kept
from fake_engine.processes import below, end_process, end_shells, working_below
from fake_engine.state import FakeState, write_json


class ProcessStream:
    """A local process's standard streams as a shell's Stream."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout and process.stderr  # all are pipes
        self.process = process
        self._stdin = process.stdin
        self._kinds = {process.stdout.fileno(): STDOUT, process.stderr.fileno(): STDERR}
        self._poll = select.poll()
        for number in self._kinds:
            self._poll.register(number, select.POLLIN)

    def send(self, data: bytes) -> None:
        """See Stream."""
        self._stdin.write(data)
        self._stdin.flush()

    def receive(self, timeout: float | None) -> list[tuple[int, bytes]]:
        """See Stream; the end of either is the end."""
        ready = self._poll.poll(None if timeout is None else timeout * 1000)
        if not ready:
            raise TimeoutError
        pieces = [(self._kinds[number], os.read(number, 1 << 16)) for number, _ in ready]
        return [piece for piece in pieces if piece[1]]

    def shutdown(self) -> None:
        """The processes' end is this stream's end."""
        if self.process.poll() is None:  # so its number cannot be somebody else's
            end_process(self.process.pid)

    def close(self) -> None:
        """See Stream."""
        self.shutdown()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()


class FakeMachine(ShellMachine):
    """The folder `root` is the machine's `/` for `cwd`, `put` and `get`; the commands
    themselves see this host's files. The user and the limits are not enforced."""

    def __init__(
        self,
        state: FakeState,
        spec: MachineSpec,
        root: Path,
        *,
        staged: bool,
        owned: bool = True,
        guest: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        faults = state.faults
        super().__init__(spec, staged=staged, owned=owned, scale=faults.scale, env=env)
        self._guest = guest
        self._state = state
        self.root = root
        self._mount = str(root / "distromatrix")
        self._goes = owned and state.strikes("gone", faults.gone, spec)
        self._oom = owned and state.strikes("oom", faults.oom, spec)
        self._shell_files = state.machines / f"{spec.name}.shells"  # named by their processes
        self._main: Shell | None = None
        self._noted: dict[str, tuple[int, int]] = {}
        if owned:
            self._record(self.name)  # first: what kill -9 leaves of the rest is found by it
            # There is one already where kill -9 struck while one of that name was being closed.
            self._shell_files.mkdir(exist_ok=True)
            self._main = self._open_shell(spec.user)
            self._begin_shells(self._main)

    @classmethod
    def join(cls, state: FakeState, address: Address) -> FakeMachine:
        """One that somebody else has open. Raises MachineGoneError."""
        spec = MachineSpec(name=address.name, image="", user=address.user, memory=address.memory)
        root, staged = Path(address.id), bool(address.product)
        machine = cls(state, spec, root, staged=staged, owned=False, env=address.env)
        machine._shells.give_back(machine._shells.take())
        return machine

    @property
    def address(self) -> Address:
        """See Machine."""
        return self._address_of(str(self.root))

    def _open_shell(self, user: str) -> Shell:
        if self._stopped or not self._shell_files.is_dir():
            raise MachineGoneError(f"{self.name} {self._stopped or 'is gone'}")
        process = subprocess.Popen(
            ["/bin/sh", "-c", LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.root,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.root)},
            start_new_session=True,
        )
        (self._shell_files / str(process.pid)).touch()
        shell = Shell(ProcessStream(process))
        shell.run(Command(":", timeout=30))
        return shell

    def _record(self, name: str) -> None:
        record = {"labels": dict(self._spec.labels), "root": str(self.root)}
        write_json(self._state.machines / f"{name}.json", record)

    def _host(self, path: str) -> Path:
        inside = Path(path)
        return inside if inside.is_relative_to(self.root) else self.root / path.lstrip("/")

    def run(self, command: Command) -> Exit:
        """See Machine. Raises MachineGoneError, InfrastructureError."""
        command = replace(command, cwd=str(self._host(command.cwd)))
        if not (self._goes or self._oom):
            return super().run(command)
        self._check()
        end = threading.Timer(0.05, self._halt)
        end.start()
        super().run(command)
        end.join()  # a fault strikes also what is faster than it
        raise self._gone()

    def _end_hung(self, shell: Shell) -> str:
        hung = self.running()
        if shell.process is None:  # it has not begun: this host is that slow
            self._stopped = self._stopped or "was stopped by a timeout"
            self._halt()
            return hung
        end_process(shell.process)
        shell.wait(monotonic() + 30)
        self._shells.give_back(shell)
        return hung

    def _why_ended(self, shell: Shell, until: float) -> MachineGoneError | None:
        there = (self._state.machines / f"{self.name}.json").exists()
        ended = shell is self._main or self._stopped or not there
        return self._gone() if ended else None

    def _gone(self) -> MachineGoneError:
        if not self._stopped:
            self._stopped = "ran out of memory" if self._oom else "was killed from outside"
        return MachineGoneError(f"{self.name} {self._stopped}", oom=self._oom)

    def _list_processes(self) -> list[Process]:
        return below({int(file.name) for file in self._shell_files.glob("*")})

    def put(self, tar: bytes | IO[bytes], path: str) -> None:
        """See Machine. Raises FileNotFoundError."""
        target = self._host(path)
        if not target.is_dir():
            raise FileNotFoundError(path)
        extract(io.BytesIO(tar) if isinstance(tar, bytes) else tar, target)

    def get(self, path: str) -> Iterable[bytes]:
        """See Machine. Raises FileNotFoundError."""
        source = self._host(path)
        if not os.path.lexists(source):
            raise FileNotFoundError(path)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(source, arcname=source.name)
        return iter((buffer.getvalue(),))

    def files(self) -> Iterator[Iterable[bytes]]:
        """See Machine."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(self.root, arcname=".")
        yield (buffer.getvalue(),)

    def note_state(self) -> bool:
        """See Machine."""
        self._noted = self._seen()
        return self._state.faults.notes_state

    def changes(self, folder: Path, most: int) -> Changes:
        """See Machine. Raises TooMuchError."""
        now, buffer = self._seen(), io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path in sorted(now.items() - self._noted.items()):
                tar.add(self.root / path[0], arcname=path[0], recursive=False)
        gone = (f"{path}\0".encode() for path in self._noted.keys() - now.keys())
        return Changes.kept(gone, iter((buffer.getvalue(),)), folder, most)

    def _seen(self) -> dict[str, tuple[int, int]]:
        found = {str(p.relative_to(self.root)): p.lstat() for p in self.root.rglob("*")}
        return {path: (one.st_ino, one.st_ctime_ns) for path, one in found.items()}

    def take(self, changes: Changes) -> None:
        """See Machine."""
        for file in (changes.gone, changes.there):
            file.seek(0)
        gone = [os.fsdecode(path) for path in changes.gone.read().split(b"\0")[:-1]]
        subprocess.run(["rm", "-rf", "--", *gone], cwd=self.root, check=True)
        extract(changes.there, self.root)

    def signal_left(self, signal: LeftSignal) -> bool:
        """See Machine: to what works below its root."""
        if self._stopped:
            return False
        shells = {int(file.name) for file in self._shell_files.glob("*")}
        for process in set(working_below(self.root)) - shells:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signals.Signals[f"SIG{signal}"])
        return True

    def disk_free(self) -> int | None:
        """See Machine."""
        return None if self._stopped else shutil.disk_usage(self.root).free

    def disk_used(self) -> int | None:
        """See Machine: with the product."""
        return None if self._stopped else bytes_of(self.root)

    def _halt(self) -> None:
        """End what runs in it, whoever began it."""
        if self._main is not None:
            end_shells(self._shell_files)

    def reboot(self) -> None:
        """See Machine: where it plays a guest, all that runs in it ends, and it goes on. Raises
        InfrastructureError."""
        if not self._guest:
            raise InfrastructureError(f"{self.name} has no restart: a guest has", transient=False)
        self._check_owned("restart")
        self._check()
        self._shells.shutdown()
        self._shells.close()
        end_process(*working_below(self.root))
        self._main = self._open_shell(self._spec.user)
        self._begin_shells(self._main)

    def keep(self) -> Kept:
        """See Machine."""
        self._check_owned("keep")
        name = self._kept_name
        if not self._closed:
            self._halt()
            self._finish()
            self._record(name)
            (self._state.machines / f"{self.name}.json").unlink(missing_ok=True)
            self.name = name
        return Kept(
            name=name,
            enter=f"cd {self.product or self.root}",
            remove=f"distromatrix clean --all # {name}",
            out=self.out,
        )

    def close(self) -> None:
        """See Machine."""
        if self._closed:
            return
        self._stopped = self._stopped or "was closed"
        if self._owned:
            (self._state.machines / f"{self.name}.json").unlink(missing_ok=True)
        self._halt()
        self._finish()
        if self._owned:
            shutil.rmtree(self.root, ignore_errors=True)

    def _finish(self) -> None:
        self._closed = True
        self._stopped = self._stopped or "was kept"
        self._shells.close()
        if self._owned:
            shutil.rmtree(self._shell_files, ignore_errors=True)


def extract(tar: IO[bytes], target: Path) -> None:
    """Unpack a tar stream below a folder of this host, and nowhere else. By tar itself:
    tarfile learned to stay below a folder in Python 3.11.4, and Debian 12 has 3.11.2."""
    content = tar.read()
    if content.strip(b"\0"):  # else it holds nothing, as a pulled image's
        command = ("tar", "-x", "--numeric-owner", "-C", str(target), "-f", "-")
        subprocess.run(command, input=content, check=True)


def end_recorded(file: Path) -> None:
    """Remove a machine by its record, its processes too; no error if it is gone."""
    record = read_json(file)
    if record is None:
        return
    shells = file.with_suffix(".shells")
    end_shells(shells)
    shutil.rmtree(shells, ignore_errors=True)
    shutil.rmtree(record["root"], ignore_errors=True)
    file.unlink(missing_ok=True)
