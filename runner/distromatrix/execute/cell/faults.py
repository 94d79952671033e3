"""What is said of a cell that the infrastructure broke."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from traceback import format_exception

from distromatrix.collect.log import Masker, last_lines
from distromatrix.collect.text import one_line, printable
from distromatrix.errors import CannotStartError, DistromatrixError, ImageError
from distromatrix.execute.cell.attempt import TAIL_LINES
from distromatrix.model import Cell, CellResult, Phase, Plan, Verdict
from distromatrix.record.folder import RunFolder

TAIL_BYTES = 64 * 1024
FAULT = "fault.txt"
_MOST_CALLS = 30


def error_result(
    plan: Plan,
    cell: Cell,
    error: Exception,
    attempts: int,
    folder: RunFolder,
    masker: Masker,
    run: str = "",
) -> CellResult:
    """The result of a cell of `plan` that `error` ended at its attempt `attempts` (0: before the
    first). What a failed image build printed becomes the cell's log. `run` is the id of the one
    run of it that was ended (default: the cell's)."""
    log = folder.path / "cells" / (run or cell.id) / "log.txt"
    tail: Sequence[str] = ()
    if isinstance(error, ImageError):
        phase = Phase(error.phase)
        output = masker.mask(error.log)
        tail = printable(output).splitlines()
        if output:
            with suppress(OSError):  # the tail is in the journal in any case
                folder.cell(run or cell.id)
                log.write_text(output, encoding="utf-8", errors="replace")
    else:
        began = log.exists() and not isinstance(error, CannotStartError)
        phase = Phase.RUN if began else Phase.IMAGE
        with suppress(OSError):
            tail = last_lines(log, TAIL_LINES)
    if not isinstance(error, (DistromatrixError, OSError)):
        error = _fault_of_ours(error, folder.cell(run or cell.id), masker)
    absent = error.absent if isinstance(error, ImageError) else ()
    where = _asked_for(plan, cell, absent[0]) if absent else ""
    return CellResult(
        id=cell.id,
        verdict=Verdict.ERROR,
        phase=phase,
        engine=cell.engine,
        reason=masker.mask(f"{where}{error}"),
        blame="matrix" if absent else "",
        tail=tuple(tail[-TAIL_LINES:]),
        attempts=max(1, attempts),
    )


def _fault_of_ours(error: Exception, cell: Path, masker: Masker) -> DistromatrixError:
    """What nobody foresaw, in a line; where it was, in a file beside the cell's log."""
    trace = masker.mask("".join(format_exception(error, limit=-_MOST_CALLS)))
    with suppress(OSError):
        (cell / FAULT).write_text(printable(trace[-TAIL_BYTES:]), encoding="utf-8")
    words = one_line(f"{type(error).__name__}: {error}")
    return DistromatrixError(f"a fault of distromatrix's own: {words} ({FAULT} says where)")


def _asked_for(plan: Plan, cell: Cell, package: str) -> str:
    """`matrix/default.yaml:7:16: ` of a package, or ''."""
    from distromatrix.load.places import package_place

    place = package_place(plan.matrix, cell, plan.distro(cell.distro), package)
    return f"{place}: " if place else ""
