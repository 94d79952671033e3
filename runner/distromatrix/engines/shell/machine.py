"""What all machines have in common whose commands run in shells that are kept open."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from time import monotonic

from distromatrix.engines.answer import Answer, ask_disk_free
from distromatrix.engines.changes import Changes
from distromatrix.engines.contract import MOUNT, Address, Command, Exit, Machine, MachineSpec
from distromatrix.engines.shell.pool import MOST, Shells
from distromatrix.engines.shell.processes import Process, describe, itself
from distromatrix.engines.shell.shell import Shell, ShellEndedError
from distromatrix.errors import InfrastructureError, InputError, MachineGoneError

# Prefix of the names that say: this one stays on purpose.
KEPT = "distromatrix-kept-"


class ShellMachine(Machine):
    """A machine, used through its shells. `owned`: it is ours to keep, and to remove; `staged`:
    the product is in it; `scale`: see Machine; `env`: what every command in it sees."""

    most_shells = MOST  # open at once for commands

    def __init__(
        self,
        spec: MachineSpec,
        *,
        staged: bool,
        owned: bool = True,
        scale: float = 1.0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._spec = spec
        self.name = spec.name
        self._mount = MOUNT
        self._staged = staged or spec.has_product
        self._owned = owned
        self._scale = scale
        self._env = dict(env or {})
        self._stopped = ""  # why it runs no more commands
        self._closed = False
        self._oom_kills = 0
        self._begin_shells()

    # --- what an engine gives ---

    @abstractmethod
    def _open_shell(self, user: str) -> Shell:
        """A new shell of that user (`root` or `UID:GID`), which has answered. Raises
        MachineGoneError, InfrastructureError."""

    @abstractmethod
    def _list_processes(self) -> Sequence[Process]:
        """What commands run in it now. Raises what it likes."""

    @abstractmethod
    def _end_hung(self, shell: Shell) -> str:
        """End the command that a shell runs, and give the shell back; what does not end takes the
        machine with it. What was running, '' where that is not known."""

    @abstractmethod
    def _halt(self) -> None:
        """End all that runs in it at once. Never raises."""

    @abstractmethod
    def _why_ended(self, shell: Shell, until: float) -> MachineGoneError | None:
        """Why it has ended, one of its shells having done so under a command with time until
        then (time.monotonic()); None where it lives."""

    def _ask_oom_kills(self, shell: Shell, said: Answer) -> None:
        """Have said how often the kernel has killed for memory in it, in numbers, if need be by
        the shell that has run a command. Raises as `Shell.run` does."""

    def _drop(self, shell: Shell) -> None:
        """Use a shell no more whose command may still run, and end that where it can be had."""
        self._shells.drop(shell)

    # --- Machine ---

    @property
    def scale(self) -> float:
        """See Machine."""
        return self._scale

    @property
    def product(self) -> str:
        """See Machine."""
        return f"{self._mount}/product" if self._staged else ""

    @property
    def out(self) -> str:
        """See Machine."""
        return f"{self._mount}/out" if self._staged else ""

    def run(self, command: Command) -> Exit:
        """See Machine. Raises MachineGoneError, InfrastructureError."""
        return self._run(command)

    def _run(self, command: Command, since: float | None = None) -> Exit:
        """See Machine. `since` when its seconds count (time.monotonic()), if not from now on."""
        self._check()
        shell = self._shells.take()
        # Opening one is not the command's time, and takes seconds where the engine is slow.
        begun = monotonic()
        since = begun if since is None else since
        try:
            status = shell.run(replace(command, env={**self._env, **command.env}))
            # Asking costs a command: a status that says nothing of a kill is not doubted for
            # those who run many.
            asked = status != 0 and (self._owned or status == 137)
            oom = asked and self._oom_killed(shell)
        except TimeoutError:
            hung = self._end_hung(shell)
            seconds = monotonic() - since
            hung = hung or itself(command.script, seconds)
            return Exit(status=None, seconds=seconds, hung=hung, ended=bool(self._stopped))
        except (ShellEndedError, OSError) as error:
            until = inf if command.timeout is None else begun + command.timeout
            raise self._lost(shell, until) from error
        except InputError:  # nothing was sent
            self._shells.give_back(shell)
            raise
        except BaseException:  # a caller's callback, Ctrl-C: the command may still run
            self._drop(shell)
            raise
        self._shells.give_back(shell)
        return Exit(status=status, seconds=monotonic() - since, oom=oom)

    def running(self) -> str:
        """See Machine."""
        if not self._stopped:
            with contextlib.suppress(Exception):  # what a list of processes is not worth a run
                return describe(self._list_processes())
        return ""

    def disk_free(self) -> int | None:
        """See Machine."""
        return None if self._stopped else ask_disk_free(self, self._mount if self._staged else "/")

    def kill(self, why: str = "was stopped") -> None:
        """See Machine."""
        self._stopped = self._stopped or why
        # First the shells: a waiting run() must end even if the engine is silent.
        self._shells.shutdown()
        self._halt()

    def note_state(self) -> bool:
        """See Machine. Raises InfrastructureError."""
        raise self._no_state()

    def changes(self, folder: Path, most: int) -> Changes:  # noqa: ARG002
        """See Machine. Raises InfrastructureError."""
        raise self._no_state()

    def take(self, changes: Changes) -> None:  # noqa: ARG002
        """See Machine. Raises InfrastructureError."""
        raise self._no_state()

    def files(self) -> Iterator[Iterable[bytes]]:
        """See Machine. Raises InfrastructureError."""
        raise InfrastructureError(f"{self.name}: its files cannot be had", transient=False)

    # --- for those who make one of it ---

    def _no_state(self) -> InfrastructureError:
        why = "what setup changes goes from a container into a guest, and no other way"
        return InfrastructureError(f"{self.name}: {why}", transient=False)

    def _begin_shells(self, first: Shell | None = None) -> None:
        """Forget those before; `first`: one that is open."""
        self._shells = Shells(lambda: self._open_shell(self._spec.user), first, self.most_shells)

    def _address_of(self, id: str) -> Address:
        return Address(
            name=self.name,
            id=id,
            user=self._spec.user,
            product=self.product,
            out=self.out,
            memory=self._spec.memory,
            env=self._env,
        )

    @property
    def _kept_name(self) -> str:
        return KEPT + self._spec.name.removeprefix("distromatrix-")

    def _check(self) -> None:
        if self._stopped:
            raise MachineGoneError(f"{self.name} {self._stopped}")

    def _check_owned(self, what: str) -> None:
        """Raises InfrastructureError where it was only joined."""
        if not self._owned:
            raise InfrastructureError(
                f"{self.name} belongs to another process; only its owner can {what} it"
            )

    def _lost(self, shell: Shell, until: float) -> Exception:
        """A shell ended under a command: with its machine, or alone."""
        self._shells.drop(shell)
        return self._why_ended(shell, until) or InfrastructureError(
            f"the shell that ran a command in {self.name} was killed, perhaps by that command: "
            "how it ended is not known",
            transient=False,
        )

    def _oom_killed(self, shell: Shell) -> bool:
        """Whether the kernel has killed for memory in it since this was last asked."""
        said = Answer()
        self._ask_oom_kills(shell, said)
        now = sum(int(word[:18]) for word in bytes(said).split() if word.isdigit())
        before, self._oom_kills = self._oom_kills, now
        return now > before
