"""A machine of the fake engine: a folder, and a shell of this host in a process group."""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import IO

from distromatrix.engines.base import Exit, MachineSpec, OnOutput
from distromatrix.engines.fake_state import State, read_json, write_json
from distromatrix.engines.hung import Process, describe
from distromatrix.engines.shell import LOOP, Shell, ShellEndedError
from distromatrix.errors import MachineGoneError
from distromatrix.model import Kept


class PipeStream:
    """A local process's stdin and stdout as a shell's Stream."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout  # noqa: S101  # both are pipes
        self._stdin, self._stdout = process.stdin, process.stdout

    def send(self, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        self._stdin.write(data)
        self._stdin.flush()

    def receive(self, timeout: float | None) -> bytes:
        """The next bytes, b'' at the end. Raises TimeoutError."""
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            raise TimeoutError
        return os.read(self._stdout.fileno(), 1 << 16)

    def shutdown(self) -> None:
        """The processes' end is this stream's end: nothing to do."""

    def close(self) -> None:
        """Close both pipes."""
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                pipe.close()


class FakeMachine:
    """The folder `root` is the machine's `/` for `cwd`, `put` and `get`; the commands
    themselves see this host's files. The user and the limits are not enforced."""

    def __init__(self, state: State, spec: MachineSpec, root: Path, *, staged: bool) -> None:
        self._state = state
        self._spec = spec
        self._name = spec.name
        self.root = root
        self._staged = staged
        self._busy = threading.Lock()
        self._stopped = ""
        self._closed = False
        faults = state.faults
        self._goes = state.strikes("gone", faults.gone, spec)
        self._oom = state.strikes("oom", faults.oom, spec)
        self._start()

    def _start(self) -> None:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.root)}
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.root,
            env=environment,
            start_new_session=True,
        )
        self._stream = PipeStream(self._process)
        self._shell = Shell(self._stream)
        self._record(self._name)

    def _record(self, name: str) -> None:
        record = {
            "labels": dict(self._spec.labels),
            "pid": self._process.pid,
            "root": str(self.root),
        }
        write_json(self._state.machines / f"{name}.json", record)

    @property
    def name(self) -> str:
        """See Machine."""
        return self._name

    @property
    def product(self) -> str:
        """See Machine."""
        return str(self.root / "distromatrix/product") if self._staged else ""

    @property
    def out(self) -> str:
        """See Machine."""
        return str(self.root / "distromatrix/out") if self._staged else ""

    def _host(self, path: str) -> Path:
        inside = Path(path)
        return inside if inside.is_relative_to(self.root) else self.root / path.lstrip("/")

    def run(
        self,
        script: str,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        timeout: float | None = None,
        output: OnOutput | None = None,
    ) -> Exit:
        """See Machine. Raises MachineGoneError."""
        with self._busy:
            if self._stopped:
                raise MachineGoneError(f"{self._name} {self._stopped}")
            started = monotonic()
            deadline = None if timeout is None else started + timeout
            if self._goes or self._oom:
                threading.Timer(0.05, self._end).start()
            try:
                status = self._shell.run(
                    script, env=env, cwd=str(self._host(cwd)), deadline=deadline, output=output
                )
            except TimeoutError:
                hung = describe(_processes(self._process.pid))
                self._stopped = "was stopped by a timeout"
                self._end()
                self._shell.drain(1.0, output)
                return Exit(status=None, seconds=monotonic() - started, hung=hung)
            except (ShellEndedError, OSError) as error:
                raise self._gone() from error
            return Exit(status=status, seconds=monotonic() - started)

    def _gone(self) -> MachineGoneError:
        if not self._stopped:
            self._stopped = "ran out of memory" if self._oom else "was killed from outside"
        return MachineGoneError(f"{self._name} {self._stopped}", oom=self._oom)

    def running(self) -> str:
        """See Machine."""
        return "" if self._stopped else describe(_processes(self._process.pid))

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

    def disk_free(self) -> int | None:
        """See Machine."""
        return None if self._stopped else shutil.disk_usage(self.root).free

    def kill(self) -> None:
        """See Machine."""
        self._stopped = self._stopped or "was stopped"
        self._end()

    def _end(self) -> None:
        # The shell is not waited for before this, so its number cannot be somebody else's.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def keep(self) -> Kept:
        """See Machine."""
        name = "distromatrix-kept-" + self._spec.name.removeprefix("distromatrix-")
        if not self._closed:
            self._end()
            self._finish()
            self._record(name)
            (self._state.machines / f"{self._name}.json").unlink(missing_ok=True)
            self._name = name
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
        self._end()
        self._finish()
        shutil.rmtree(self.root, ignore_errors=True)
        (self._state.machines / f"{self._name}.json").unlink(missing_ok=True)

    def _finish(self) -> None:
        self._closed = True
        self._stopped = self._stopped or "was kept"
        self._process.wait()
        if not self._busy.locked():
            self._stream.close()


def extract(tar: IO[bytes], target: Path) -> None:
    """Unpack a tar stream below a folder of this host, and nowhere else. By tar itself:
    tarfile learned to stay below a folder in Python 3.11.4, and Debian 12 has 3.11.2."""
    command = ("tar", "-x", "--numeric-owner", "-C", str(target), "-f", "-")
    subprocess.run(command, input=tar.read(), check=True)


def end_recorded(file: Path) -> None:
    """Remove a machine by its record, its processes too; no error if it is gone."""
    record = read_json(file)
    if record is None:
        return
    pid = int(record["pid"])
    with contextlib.suppress(OSError):
        # A number may have been given to somebody else meanwhile: LOOP is our mark.
        if LOOP.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.killpg(pid, signal.SIGKILL)
    shutil.rmtree(record["root"], ignore_errors=True)
    file.unlink(missing_ok=True)


def _processes(group: int) -> list[Process]:
    said = subprocess.run(
        ["ps", "-eo", "pgid,pid,ppid,etime,args"], capture_output=True, text=True, check=False
    ).stdout
    rows = (line.split(None, 4) for line in said.splitlines()[1:])
    return [
        Process(int(row[1]), int(row[2]), row[3], row[4])
        for row in rows
        if len(row) == 5 and int(row[0]) == group
    ]
