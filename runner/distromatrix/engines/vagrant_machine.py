"""A guest as a machine: restored from a template, used over ssh, removed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Any, BinaryIO

from distromatrix.engines.base import API_TIMEOUT, Address, Exit, MachineSpec, OnOutput
from distromatrix.engines.console import last_lines, panic, size
from distromatrix.engines.guest_processes import LIST, processes
from distromatrix.engines.guest_scripts import (
    AFTERWARDS,
    CGROUP,
    KILL_ALL,
    RESTART,
    end_script,
    of_commands,
)
from distromatrix.engines.hung import describe, itself
from distromatrix.engines.shell import Shell, ShellEndedError
from distromatrix.engines.shells import Shells
from distromatrix.engines.ssh import Connection, PipeStream, loop_script
from distromatrix.errors import InfrastructureError, InputError, MachineGoneError
from distromatrix.model import Kept

MOUNT = "/distromatrix"
KEPT = "distromatrix-kept-"
DIES_WITHIN = 60.0  # seconds that killed processes have to end; then the machine is killed
FACTS = "machine.json"
_STOPPED = "stopped"  # a file beside it: its processes were ended
_ANSWERS_WITHIN = 60.0
REBOOT_COUNT = "DISTROMATRIX_REBOOT_COUNT"
_DOWN_WITHIN = 120.0  # seconds that a guest's end may take, and its start below
_UP_AGAIN_WITHIN = 600.0
_POLL = 0.1
_LOOKS = 0.5  # seconds between two looks at its console


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Where an open guest is: its `folder`, its domain, and its console's log."""

    folder: Path
    domain: str
    console: Path
    end: Any  # Callable[[], None]: ends the domain, never raises


class VagrantMachine:
    """One guest. `connection` stands; `owned`: it is ours to remove."""

    def __init__(
        self,
        guest: Guest,
        connection: Connection,
        *,
        name: str,
        user: str,
        memory: int,
        staged: bool,
        owned: bool = True,
        env: Mapping[str, str] | None = None,
        remove: Any = lambda: None,
    ) -> None:
        self._guest = guest
        self._connection = connection
        self._name = name
        self._user = user
        self._memory = memory
        self._staged = staged
        self._owned = owned
        self._env = dict(env or {})
        self._remove = remove
        self._stopped = ""
        self._dead = False
        self._closed = False
        self._kept: Kept | None = None
        self._admin: Shell | None = None
        self._admin_lock = Lock()
        self._oom_kills = 0
        self._restart_wanted = False
        self._shells = Shells(self._open_shell)

    # --- what it is ---

    @property
    def name(self) -> str:
        """See Machine."""
        return self._name

    @property
    def address(self) -> Address:
        """See Machine."""
        return Address(
            name=self._name,
            id=self._guest.folder.name,
            user=self._user,
            product=self.product,
            out=self.out,
            memory=self._memory,
        )

    @property
    def product(self) -> str:
        """See Machine."""
        return f"{MOUNT}/product" if self._staged else ""

    @property
    def out(self) -> str:
        """See Machine."""
        return f"{MOUNT}/out" if self._staged else ""

    @property
    def console(self) -> tuple[str, ...]:
        """The last lines of its console."""
        return last_lines(self._guest.console)

    # --- commands ---

    def begin(self) -> None:
        """Open a shell, and hear it answer. Raises InfrastructureError."""
        self._shells.give_back(self._shells.take())
        Thread(target=self._watch, name=f"{self._name} console", daemon=True).start()

    def run(
        self,
        script: str,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        timeout: float | None = None,
        output: OnOutput | None = None,
        errors: OnOutput | None = None,
        strict: bool = True,
    ) -> Exit:
        """See Machine. A script that restarts the guest (`distromatrix-reboot`) is begun anew
        after that, within the same timeout, with DISTROMATRIX_REBOOT_COUNT one higher. Raises
        MachineGoneError, InfrastructureError."""
        started, count = monotonic(), 0
        deadline = None if timeout is None else started + timeout
        while True:
            variables = {**self._env, **(env or {})}
            if count:
                variables[REBOOT_COUNT] = str(count)
            done = self._run(script, variables, cwd, deadline, output, errors, strict)
            if not self._restart_wanted:
                return replace(done, seconds=monotonic() - started)
            self.reboot()
            count += 1

    def _run(
        self,
        script: str,
        env: Mapping[str, str],
        cwd: str,
        deadline: float | None,
        output: OnOutput | None,
        errors: OnOutput | None,
        strict: bool,
    ) -> Exit:
        self._must_be_there()
        started = monotonic()
        shell = self._shells.take()
        try:
            status = shell.run(
                script,
                env=env,
                cwd=cwd,
                deadline=deadline,
                output=output,
                errors=errors,
                strict=strict,
            )
            asked = status != 0 and (self._owned or status == 137)
            oom = asked and self._oom_killed(shell)
        except TimeoutError:
            hung = self._end_hung(shell)
            seconds = monotonic() - started
            hung = hung or itself(script, seconds)
            return Exit(status=None, seconds=seconds, hung=hung, ended=bool(self._stopped))
        except (ShellEndedError, OSError) as error:
            raise self._lost(shell) from error
        except InputError:  # nothing was sent
            self._shells.give_back(shell)
            raise
        except BaseException:  # a caller's callback, Ctrl-C: the command may still run
            self._drop(shell)
            raise
        self._shells.give_back(shell)
        return Exit(status=status, seconds=monotonic() - started, oom=oom)

    def running(self) -> str:
        """See Machine."""
        if self._stopped:
            return ""
        with contextlib.suppress(Exception):
            return describe(of_commands(processes(self._ask(LIST, 10.0).encode())))
        return ""

    def disk_free(self) -> int | None:
        """See Machine; None too while a command runs."""
        if self._stopped or self._shells.busy:
            return None
        try:
            lines = self._ask(f"df -Pk {MOUNT if self._staged else '/'}", API_TIMEOUT).splitlines()
            return int(lines[-1].split()[3]) * 1024
        except (InfrastructureError, ValueError, IndexError):
            return None

    def reboot(self) -> None:
        """Restart it; it is up again when this returns. Commands that run meanwhile end. Raises
        MachineGoneError, InfrastructureError."""
        self._must_be_there()
        which = "cat /proc/sys/kernel/random/boot_id"
        before = self._ask(which, API_TIMEOUT)
        self._ask(RESTART, API_TIMEOUT)
        self._restart_wanted = False
        self._shells.close()
        self._forget_admin()
        deadline = monotonic() + _UP_AGAIN_WITHIN
        self._connection.wait_lost(_DOWN_WITHIN)
        while True:
            try:
                self._connection.open(max(1.0, deadline - monotonic()))
            except TimeoutError as error:
                words = " / ".join(self.console[-3:])
                raise InfrastructureError(
                    f"{self._name} did not come up again after its restart; its console says: "
                    f"{words or 'nothing'}"
                ) from error
            with contextlib.suppress(InfrastructureError):
                if self._ask(which, API_TIMEOUT) != before:
                    break
            self._forget_admin()
            self._connection.wait_lost(5.0)
        self._oom_kills = 0
        self._shells = Shells(self._open_shell)

    def _forget_admin(self) -> None:
        with self._admin_lock:
            if self._admin is not None:
                self._admin.stream.close()
            self._admin = None

    # --- files ---

    def put(self, tar: bytes | BinaryIO | Iterator[bytes], path: str) -> None:
        """See Machine; `tar` may come in pieces. Raises FileNotFoundError, InfrastructureError."""
        where = shlex.quote(path)
        self._send(tar, f"[ -d {where} ] || exit 44; exec tar -xpf - -C {where}", path)

    def put_owned(self, tar: BinaryIO, path: str, owner: str) -> None:
        """The same, with all of it `owner`'s (UID:GID). Raises as `put` does."""
        where = shlex.quote(path)
        script = f"tar -xpf - -o -C {where} && chown -hR {owner} {where}"
        self._send(tar, script, path)

    def _send(self, tar: bytes | BinaryIO | Iterator[bytes], script: str, path: str) -> None:
        self._must_live()
        status, said = self._connection.send(_pieces(tar), script)
        if status == 44:
            raise FileNotFoundError(f"{self._name}:{path}")
        if status == 0:
            return
        if "No space left" in said or "Wrote only" in said:
            free = self._disk_words()
            raise InfrastructureError(
                f"what is put into {self._name} is bigger than its disk{free}", transient=False
            )
        if status == 255 and not self._connection.is_open():
            raise self._gone()
        last = said.splitlines()[-1] if said else f"status {status}"
        raise InfrastructureError(f"cannot put files into {self._name}: {last}")

    def _disk_words(self) -> str:
        with contextlib.suppress(InfrastructureError, ValueError, IndexError):
            words = self._ask("df -Pk /", API_TIMEOUT).splitlines()[-1].split()
            return f", which has {int(words[1]) // 1024} MiB"
        return ""

    def get(self, path: str) -> Iterable[bytes]:
        """See Machine. Raises FileNotFoundError, InfrastructureError."""
        self._must_live()
        parent, _, last = path.rstrip("/").rpartition("/")
        where = shlex.quote(path)
        there = f"[ -e {where} ] || [ -L {where} ]"
        status, said = self._connection.send(iter(()), f"{there} || exit 44")
        if status == 44:
            raise FileNotFoundError(f"{self._name}:{path}")
        if status != 0:
            raise (
                self._gone()
                if not self._connection.is_open()
                else InfrastructureError(
                    f"cannot get files from {self._name}: {said or f'status {status}'}"
                )
            )
        tar = f"exec tar -cf - -C {shlex.quote(parent or '/')} -- {shlex.quote(last or '.')}"
        return self._connection.receive(tar)

    # --- its end ---

    def kill(self) -> None:
        """See Machine."""
        self._stop("was stopped")
        if self._dead:
            return
        with contextlib.suppress(InfrastructureError):
            (self._guest.folder / _STOPPED).touch()
        try:
            self._ask(KILL_ALL, DIES_WITHIN)
        except InfrastructureError:
            self._dead = True
            self._guest.end()

    def keep(self) -> Kept:
        """See Machine. Raises InfrastructureError, also where it was only joined."""
        if not self._owned:
            raise InfrastructureError(f"{self._name} is another's, who alone can keep it")
        if self._kept is not None:
            return self._kept
        name = KEPT + self._name.removeprefix("distromatrix-")
        change_facts(self._guest.folder, kept=True, name=name, product=self.product)
        self._name = name
        self._stop("was kept")
        self._kept = Kept(
            name=name,
            enter=f"distromatrix guests enter {name}",
            remove=f"distromatrix guests remove {name}",
            out=self.out,
        )
        return self._kept

    def close(self) -> None:
        """See Machine."""
        if self._closed:
            return
        self._closed = True
        self._stop("was closed")
        self._shells.close()
        with contextlib.suppress(Exception), self._admin_lock:
            if self._admin is not None:
                self._admin.stream.close()
        if self._kept is not None or not self._owned:
            return
        self._connection.close()
        with contextlib.suppress(Exception):
            self._remove()

    def _stop(self, why: str) -> None:
        self._stopped = self._stopped or why
        self._shells.shutdown()

    # --- its shells ---

    def _open_shell(self) -> Shell:
        if self._stopped:
            raise MachineGoneError(f"{self._name} {self._stopped}")
        return self._shell_of(self._user, CGROUP)

    def _shell_of(self, user: str, cgroup: str) -> Shell:
        shell = Shell(PipeStream(self._connection.start(loop_script(user, cgroup))))
        try:
            shell.run(":", deadline=monotonic() + _ANSWERS_WITHIN)
        except (ShellEndedError, TimeoutError, OSError) as error:
            shell.drain(0.5)
            shell.stream.close()
            if not self._connection.is_open():
                raise self._gone() from error
            said = shell.said.decode(errors="replace").strip()
            raise InfrastructureError(
                f"a shell in {self._name} did not answer: {said}".rstrip(": ")
            ) from error
        return shell

    def _ask(self, script: str, timeout: float) -> str:
        """What a script of ours prints, run by root beside the commands. Raises
        InfrastructureError."""
        lines: list[bytes] = []
        if not self._admin_lock.acquire(timeout=timeout):
            raise InfrastructureError(f"{self._name} does not answer")
        try:
            if self._admin is None:
                self._admin = self._shell_of("root", "")
            self._admin.run(
                script, deadline=monotonic() + timeout, output=lines.append, strict=False
            )
        except (ShellEndedError, TimeoutError, OSError) as error:
            if self._admin is not None:
                self._admin.stream.close()
            self._admin = None
            raise InfrastructureError(f"{self._name} does not answer") from error
        finally:
            self._admin_lock.release()
        return b"".join(lines).decode(errors="replace")

    def _end_hung(self, shell: Shell) -> str:
        """End the command that a shell runs; what does not end takes the machine with it."""
        hung = self.running()
        try:
            self._wait_begun(shell)
            self._ask(end_script(shell.process or 0), DIES_WITHIN)
            shell.wait(monotonic() + DIES_WITHIN)
        except (InfrastructureError, TimeoutError, ShellEndedError, OSError):
            self._stopped = self._stopped or "was stopped by a timeout"
            self.kill()
        else:
            self._shells.give_back(shell)
        return hung

    @staticmethod
    def _wait_begun(shell: Shell) -> None:
        """Under emulation, a command may not have begun when its time is over. Raises
        TimeoutError, and as `Shell.wait` does."""
        deadline = monotonic() + DIES_WITHIN
        while shell.process is None:
            if monotonic() > deadline:
                raise TimeoutError
            with contextlib.suppress(TimeoutError):
                shell.wait(monotonic() + _POLL)

    def _drop(self, shell: Shell) -> None:
        if shell.process is not None:
            with contextlib.suppress(Exception):
                self._ask(end_script(shell.process), DIES_WITHIN)
        self._shells.drop(shell)

    def _oom_killed(self, shell: Shell) -> bool:
        """Whether the kernel has killed for memory since it was asked last. Hears, too, whether
        a restart is wanted."""
        lines: list[bytes] = []
        shell.run(AFTERWARDS, deadline=monotonic() + API_TIMEOUT, output=lines.append)
        words = b"".join(lines).split()
        self._restart_wanted = b"reboot" in words
        now = sum(int(word) for word in words if word.isdigit())
        before, self._oom_kills = self._oom_kills, now
        return now > before

    # --- what became of it ---

    def _lost(self, shell: Shell) -> InfrastructureError:
        """A shell ended under a command: with its machine, or alone."""
        self._shells.drop(shell)
        if not self._stopped and self._connection.is_open():
            with contextlib.suppress(InfrastructureError):
                # That another can be opened is the proof that the machine lives.
                self._open_shell().stream.close()
                if not (self._guest.folder / _STOPPED).exists():
                    return InfrastructureError(
                        f"the shell that ran a command in {self._name} was killed, perhaps by "
                        "that command: how it ended is not known",
                        transient=False,
                    )
        return self._gone()

    def _gone(self) -> MachineGoneError:
        """Why it is gone, with its console's last words."""
        if self._stopped:
            return MachineGoneError(f"{self._name} {self._stopped}")
        self._stopped = "is gone"
        if fatal := panic(self._guest.console):
            return MachineGoneError(f"the kernel of {self._name} gave up: {fatal}")
        if not self._guest.folder.exists() or (self._guest.folder / _STOPPED).exists():
            return MachineGoneError(f"{self._name} was stopped or removed from outside")
        words = " / ".join(self.console[-3:])
        said = f"; its console says: {words}" if words else ""
        return MachineGoneError(f"the connection to {self._name} was lost{said}")

    def _must_be_there(self) -> None:
        if self._stopped:
            raise MachineGoneError(f"{self._name} {self._stopped}")

    def _must_live(self) -> None:
        if self._dead or (self._closed and self._kept is None):
            raise MachineGoneError(f"{self._name} {self._stopped or 'is gone'}")

    def _watch(self) -> None:
        """A kernel that gave up says so on its console, and else nothing: end who waits."""
        seen = 0
        while not self._stopped:
            if (now := size(self._guest.console)) != seen:
                seen = now
                if fatal := panic(self._guest.console):
                    self._dead = True
                    self._stop(f"is gone: its kernel gave up: {fatal}")
                    self._guest.end()
            time.sleep(_LOOKS)


def change_facts(folder: Path, **change: object) -> None:
    """Change what is known of the machine in a folder. Raises InfrastructureError."""
    file = folder / FACTS
    try:
        facts = {**json.loads(file.read_text(encoding="utf-8")), **change}
        part = file.with_suffix(f".{secrets.token_hex(4)}")
        part.write_text(json.dumps(facts), encoding="utf-8")
        part.replace(file)
    except (OSError, ValueError) as error:
        raise InfrastructureError(f"{file}: {error}") from error


def _pieces(tar: bytes | BinaryIO | Iterator[bytes]) -> Iterator[bytes]:
    if isinstance(tar, bytes):
        yield tar
    elif hasattr(tar, "read"):
        while piece := tar.read(1 << 18):
            yield piece
    else:
        yield from tar


def spec_facts(spec: MachineSpec, **more: object) -> str:
    """What is kept of a machine beside it, for who joins or sweeps."""
    facts = {
        "name": spec.name,
        "labels": dict(spec.labels),
        "user": spec.user,
        "memory": spec.memory,
        "created": time.time(),
        "kept": False,
        "pid": os.getpid(),
    }
    return json.dumps({**facts, **more})
