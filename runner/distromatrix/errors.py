"""What can go wrong, each with the exit code it ends in.

Only `distromatrix.cli.main` turns one of these into an exit; nothing else calls `sys.exit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_NOTHING_SELECTED = 3
EXIT_INFRASTRUCTURE = 69  # EX_UNAVAILABLE of sysexits.h


class DistromatrixError(Exception):
    """Base of all errors that a user can meet: `str()` of it is one printable line or more."""

    exit_code: ClassVar[int] = EXIT_INPUT

    def __reduce__(self) -> tuple[object, ...]:
        # Whole, whatever its constructor asks for: tests' workers are told of errors.
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(
    kind: type[DistromatrixError], args: tuple[object, ...], state: dict[str, object]
) -> DistromatrixError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong in one place of the input. Lines and columns count from 1; 0 is unknown."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class InputError(DistromatrixError):
    """The input is wrong. Carries every fault found, in the order of the files' lines."""

    def __init__(self, *faults: Fault | str) -> None:
        self.faults = tuple(f if isinstance(f, Fault) else Fault("", 0, 0, f) for f in faults)
        super().__init__("\n".join(str(f).removeprefix(": ") for f in self.faults))


class NothingSelectedError(DistromatrixError):
    """A selector matched no cell (exit 3, nothing started)."""

    exit_code = EXIT_NOTHING_SELECTED


class InfrastructureError(DistromatrixError):
    """The infrastructure broke, not the product. Base of everything that makes an `error` cell.

    `transient` says whether trying again can help (`--retries`).
    """

    exit_code = EXIT_INFRASTRUCTURE

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


class DiskFullError(InfrastructureError):
    """An engine's disk has no room left; trying again does not help."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=False)


class CellSkippedError(DistromatrixError):
    """What was asked for is of a cell that does not run here: a rule skips it, or nothing meets
    its needs. `str()` of it is the reason."""


class SetupFailedError(DistromatrixError):
    """A suite's `setup` failed in a machine that tests asked for: the product's failure, and
    none of the infrastructure."""

    exit_code = EXIT_FAILED


class EngineUnavailableError(InfrastructureError):
    """No engine answers: not installed, not started, no rights, or gone in the middle of a run."""


class MachineGoneError(InfrastructureError):
    """A machine ended under our hands. No fault of the infrastructure, but of what ran in it:
    `oom`: its own memory limit ended it; `choked`: its main shell could not go on, as where there
    may be no more processes."""

    def __init__(
        self, message: str, *, oom: bool = False, choked: bool = False, transient: bool = True
    ) -> None:
        super().__init__(message, transient=transient)
        self.oom, self.choked = oom, choked


class CannotStartError(InfrastructureError):
    """A machine could not be started from an image: no `sh` in it, wrong architecture, …"""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=False)


class ImageError(InfrastructureError):
    """An image could not be had, or its prepared layer not be built.

    `phase` is the phase of the cell that this breaks; `log` is what the failing tool printed;
    `absent`: the packages that the distribution does not have, which is the matrix's fault.
    """

    def __init__(
        self,
        message: str,
        *,
        phase: Literal["image", "packages", "prepare"] = "image",
        log: str = "",
        transient: bool = False,
        absent: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, transient=transient)
        self.phase = phase
        self.log = log
        self.absent = absent


PullFailure = Literal["unreachable", "rate-limit", "denied", "not-found", "other"]


class PullError(ImageError):
    """A registry did not give an image. Only `unreachable` lets the next source be tried:
    what is tested must not change in silence because of a rate limit or a wrong name."""

    def __init__(self, kind: PullFailure, message: str) -> None:
        super().__init__(message, transient=kind in ("unreachable", "other"))
        self.kind: PullFailure = kind
