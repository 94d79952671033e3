"""Bringing back what a suite left in its machine, by the cheapest way that is safe."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from distromatrix.collect.artifacts import Aside, Extracted, extract
from distromatrix.collect.errors import CollectError
from distromatrix.collect.log import Masker
from distromatrix.collect.report_files import REPORT, REPORTS
from distromatrix.collect.report_text import MAX_BYTES
from distromatrix.engines.answer import HELPER_WITHIN
from distromatrix.engines.contract import OUT_FOLDERS, Command, Machine
from distromatrix.errors import MachineGoneError

NOTHING, REPORT_ALONE, MORE = 10, 11, 12  # exit statuses of LOOK
SMALL = 1024**2  # bytes of a report that come through the shell
CLEAR_TIMEOUT = 30.0
# Seconds, as often as the machine's scale says; what takes longer is cut off.
COLLECT_WITHIN = 300.0
# An archive request costs an engine some 50 ms, the open shell 2 ms: so the shell is asked
# first, and most suites leave nothing, or a small report. What it says is the suite's own
# word, as all the rest that comes back.
LOOK = f"""\
set +e
cd OUT || exit {MORE}
for folder in {" ".join(OUT_FOLDERS)}; do
  [ -d $folder ] && [ ! -L $folder ] && [ -z "$(ls -A $folder)" ] || exit {MORE}
done
set -- $(ls -A)
case "$*" in
  "{" ".join(OUT_FOLDERS)}") exit {NOTHING} ;;
  "{" ".join(OUT_FOLDERS)} junit.xml") ;;
  *) exit {MORE} ;;
esac
[ -f junit.xml ] && [ ! -L junit.xml ] && size=$(wc -c <junit.xml) || exit {MORE}
[ "$size" -le {SMALL} ] && echo "$size" || exit {MORE}
cat junit.xml && exit {REPORT_ALONE}
exit {MORE}
"""
FOUND, STAYS = 10, 11  # exit statuses of CLEAR
CLEAR = f"""\
set +e
cd OUT || exit 0
touch .
found=0
if [ -e {REPORT} ] || [ -L {REPORT} ]; then
  found={FOUND}
  rm -rf {REPORT}
fi
if [ -n "$(ls -A {REPORTS} 2>/dev/null)" ]; then found={FOUND}; fi
if [ $found = {FOUND} ] || [ ! -d {REPORTS} ] || [ -L {REPORTS} ]; then
  rm -rf {REPORTS}
  mkdir {REPORTS} || exit {STAYS}
fi
[ ! -e {REPORT} ] && [ ! -L {REPORT} ] || exit {STAYS}
exit $found
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What became of it: `fault` says what had to be refused, `left_out` what stays behind as it
    usually does (links, pipes), or came under another name, `unmasked` what holds a secret;
    each is '' if nothing."""

    fault: str = ""
    left_out: str = ""
    unmasked: str = ""


def bring_back(
    machine: Machine, folder: Path, reports: Path, masker: Masker | None = None, *, alive: bool
) -> Brought:
    """Write the machine's `out/artifacts` to `folder`, masked, and its reports, as they came, to
    `reports`: `junit.xml`, a file or a folder, and `junit/`.

    `alive`: its shell still answers. Raises CollectError, InfrastructureError.
    """
    until = monotonic() + COLLECT_WITHIN * machine.scale
    report = _look(machine) if alive else None
    if report is None:
        aside = Aside(names=(REPORT, REPORTS), dest=reports, limit_bytes=MAX_BYTES)
        return _unpack(machine, folder, until, masker, aside)
    if report:
        (reports / REPORT).write_bytes(report)
    return Brought()


def bring_artifacts(
    machine: Machine, folder: Path, masker: Masker | None = None, *, alive: bool
) -> Brought:
    """Write what is in the machine's `out/artifacts` to `folder/artifacts`, once more. As
    `bring_back`, but no report is looked at."""
    until = monotonic() + COLLECT_WITHIN * machine.scale
    if not alive or _look(machine) is None:
        return _unpack(machine, folder, until, masker)
    return Brought()


def clear_reports(machine: Machine) -> int:
    """Remove all reports from a machine: FOUND where there were any, STAYS where one cannot be
    removed. `out` is from now on newer than what is there. Raises InfrastructureError."""
    script = CLEAR.replace("OUT", shlex.quote(machine.out), 1)
    return machine.run(Command(script, timeout=CLEAR_TIMEOUT)).status or 0


def _unpack(
    machine: Machine,
    folder: Path,
    until: float,
    masker: Masker | None,
    aside: Aside | None = None,
) -> Brought:
    got = Extracted(files=0, bytes=0)
    with suppress(FileNotFoundError):
        got = extract(_in_time(machine.get(machine.out), until), folder, aside=aside, masker=masker)
    skipped = _first("left out of the artifacts", got.skipped)
    renamed = _first("artifacts of a repository, renamed with a _", got.renamed)
    unmasked = _first("artifacts", got.unmasked)
    which = "holds a secret that was handed in; it is"
    if len(got.unmasked) > 1:
        which = "hold a secret that was handed in; they are"
    reports = got.refused and got.refused[0].startswith((f"out/{REPORTS}", "the reports"))
    return Brought(
        fault=_first("reports" if reports else "artifacts", got.refused),
        left_out="; ".join(filter(None, (skipped, renamed))),
        unmasked=f"{unmasked} {which} no text, so not masked" if unmasked else "",
    )


def _in_time(stream: Iterable[bytes], until: float) -> Iterator[bytes]:
    for data in stream:
        if monotonic() > until:
            raise CollectError(f"what it left could not be collected within {COLLECT_WITHIN:g} s")
        yield data


def _first(what: str, lines: tuple[str, ...]) -> str:
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    return f"{what}: {lines[0]}{more}" if lines else ""


def _look(machine: Machine) -> bytes | None:
    """The report, b"" for none; None where there is more, or it is not all there."""
    output = bytearray()

    def take(data: bytes) -> None:
        if len(output) <= SMALL:
            output.extend(data)

    script, within = LOOK.replace("OUT", shlex.quote(machine.out), 1), HELPER_WITHIN * machine.scale
    try:
        status = machine.run(Command(script, timeout=within, output=take)).status
    except MachineGoneError:
        return None
    # Something that the suite left running may have printed meanwhile: then the size is wrong.
    size, _, report = bytes(output).partition(b"\n")
    if status == REPORT_ALONE and size.strip() == str(len(report)).encode():
        return report or None
    return b"" if status == NOTHING else None
