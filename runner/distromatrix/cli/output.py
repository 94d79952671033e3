"""Standard output and error as every command has them; nothing is printed but from here. A reader
that goes away (`| head`), a full disk or a stream that was closed ends nothing that is going on:
what cannot be written is dropped, and told at the end. What a character set lacks is escaped, and
what a terminal or a CI's runner would obey in the output of products is shown as text."""

from __future__ import annotations

import errno
import io
import json
import os
import select
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO, TypeVar

import click

from distromatrix.collect.text import fit, obeyed, unobeyed
from distromatrix.errors import InputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console

Answer = TypeVar("Answer")

EXIT_IO = 74  # EX_IOERR of sysexits.h: what was asked for could not be printed
EXIT_PIPE = 141  # as of a program that SIGPIPE ends


class _Descriptor(io.RawIOBase):
    """A descriptor that is written to until that fails; never raises."""

    def __init__(self, fd: int, lost: OSError | None) -> None:
        self._fd = fd
        self.lost = lost  # why nothing more is written

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return self.lost is None and os.isatty(self._fd)

    def write(self, data: ReadableBuffer) -> int:
        size = memoryview(data).nbytes
        while self.lost is None:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # whoever shares it made it non-blocking
                select.select([], [self._fd], [])
            except OSError as error:
                self.lost = error
        return size


class _BoundStream(io.BufferedWriter):
    """What is written to `descriptor`, made harmless for a CI's runner where there is one."""

    def __init__(self, descriptor: _Descriptor, *, for_ci: bool) -> None:
        super().__init__(descriptor)
        self.descriptor = descriptor
        self.hint: str | None = None  # of what is only told here, and kept elsewhere
        self._for_ci = for_ci

    def write(self, data: ReadableBuffer) -> int:
        if not self._for_ci:
            return super().write(data)
        # A runner reads UTF-8, and skips any space that Unicode knows before a command.
        text = bytes(data).decode("utf-8", "surrogateescape")
        super().write(unobeyed(text).encode("utf-8", "surrogateescape"))
        return memoryview(data).nbytes

    def write_command(self, line: str) -> None:
        super().write(f"{line}\n".encode(errors="backslashreplace"))
        self.flush()


def open_streams(environ: Mapping[str, str] = os.environ) -> None:
    """Put such streams into the place of those that Python opened. Those that tests have put
    there stay. A descriptor that is closed is opened on nothing, so that no file of ours gets
    its number."""
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, flags)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(1, sys.stdout, environ)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(2, sys.stderr, environ)


def _stream(fd: int, now: TextIO | None, environ: Mapping[str, str]) -> TextIO:
    closed = OSError(errno.EBADF, "it is closed")
    output = _BoundStream(
        _Descriptor(fd, closed if now is None else None),
        for_ci=obeyed(environ),
    )
    return io.TextIOWrapper(
        output,
        encoding=now.encoding if now is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=fd == 2 or output.isatty(),
        write_through=fd == 2,
    )


def tell_only(hint: str) -> None:
    """What this command prints is kept elsewhere, as `hint` says: its exit code is the same
    where that cannot be written."""
    if isinstance(output := getattr(sys.stdout, "buffer", None), _BoundStream):
        output.hint = hint


def echo(text: object = "", *, err: bool = False, lines: bool = False, end: str = "\n") -> None:
    """Print a line. What others have put into it is shown, never obeyed: a line break, too,
    unless it is a text of several `lines`."""
    click.echo(fit(str(text), lines=lines) + end, err=err, nl=False)


def echo_json(value: object) -> None:
    """Print JSON, in ASCII."""
    echo(json.dumps(value, indent=2), lines=True)


def pass_on(data: bytes) -> None:
    """What a machine says in `shell`, as it is: who asked for its terminal gets it."""
    click.echo(data, nl=False, err=True)


def ask(text: str) -> bool:
    """Ask on stderr, and take no answer for a no."""
    return click.confirm(fit(text), err=True)


def can_ask() -> bool:
    """Whether a person sits at standard input and error."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_for(text: str, proposed: str, parse: Callable[[str], Answer]) -> Answer:
    """Ask on stderr for what `parse` makes of an answer, until that raises no InputError; Enter
    stands for what is proposed."""

    def parsed(answer: str) -> Answer:
        try:
            return parse(answer)
        except InputError as error:
            raise click.UsageError(fit(str(error), lines=True)) from error

    found: Answer = click.prompt(fit(text), default=fit(proposed), value_proc=parsed, err=True)
    return found


def open_console(*, stderr: bool = False) -> Console:
    """A console of rich's, for tables and the board, that shows others' text as `echo` does."""
    from distromatrix.reports.console import FitConsole

    return FitConsole(stderr=stderr, highlight=False)


def print_command(line: str, *, err: bool = False) -> None:
    """Print a line that a CI's runner is to obey."""
    line = fit(line)
    stream = sys.stderr if err else sys.stdout
    stream.flush()
    if isinstance(output := getattr(stream, "buffer", None), _BoundStream):
        output.write_command(line)
    else:
        echo(line, err=err)


def exit_code(code: int) -> int:
    """`code`, or that of an output which is not whole: of a command that did all it should."""
    output = getattr(sys.stdout, "buffer", None)
    if not isinstance(output, _BoundStream):
        return code
    sys.stdout.flush()
    lost = output.descriptor.lost
    if lost is None:
        return code
    if lost.errno != errno.EPIPE:
        hint = f"; {output.hint}" if output.hint else ""
        echo(f"standard output cannot be written: {lost.strerror}{hint}", err=True)
    if code or output.hint is not None:
        return code
    return EXIT_PIPE if lost.errno == errno.EPIPE else EXIT_IO
