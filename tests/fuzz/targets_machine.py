"""What comes out of machines."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fuzzing import folder, plain, target, told, with_checksums

from distromatrix.collect.artifacts import extract
from distromatrix.collect.errors import CollectError
from distromatrix.collect.hints import of_lines
from distromatrix.collect.junit import JUnitReport, read_cases
from distromatrix.collect.masking import Masker
from distromatrix.collect.plain_tar import plain_tar
from distromatrix.collect.report_files import store_reports
from distromatrix.collect.tap import TapReport
from distromatrix.collect.text import one_line, printable, unobeyed
from distromatrix.engines.contract import Command
from distromatrix.engines.docker.staging.files import without_padding
from distromatrix.engines.guest.console import last_lines, panic
from distromatrix.engines.shell.process_list import processes
from distromatrix.engines.shell.processes import describe
from distromatrix.engines.shell.shell import STDERR, STDOUT, Shell, ShellEndedError
from distromatrix.errors import DistromatrixError, InputError
from distromatrix.execute.cell.case_needs import read_record
from distromatrix.images.packages import MANAGERS
from distromatrix.reports.html.cases import as_script
from distromatrix.reports.html.logs import coloured


@target
def junit(data: bytes) -> None:
    """A report; what is stored of one says what it said."""
    with folder() as root:
        (root / "out").mkdir()
        (root / "out/junit.xml").write_bytes(data)
        try:
            own: JUnitReport | None = read_cases(data)
        except CollectError as error:
            told(InputError(str(error)))
            own = None
        stored = store_reports(root / "out", root / "junit.xml", Masker())
        for line in (*stored.warnings, stored.fault):
            plain(line)
        assert (own is None) == (stored.report is None)
        if own is None or stored.report is None:
            assert stored.fault
            return
        assert replace(own, notes=stored.report.notes) == stored.report
        assert own.notes.contradiction in stored.fault
        _fit(own)
        if not stored.fault:
            again = read_cases(root / "junit.xml")
            assert (again.counts, len(again.cases)) == (own.counts, len(own.cases))


def _fit(report: JUnitReport) -> None:
    for case in report.cases:
        for text in (case.name, case.message, case.file, case.text.replace("\n", " ")):
            plain(text.replace("\t", " "))
        assert case.seconds >= 0


@target
def tap(data: bytes) -> None:
    """A suite's standard output in TAP, in pieces as long as its first byte says."""
    step = 1 + (data[0] if data else 0)
    report = TapReport()
    for at in range(0, len(data), step):
        report.feed(data[at : at + step])
    with folder() as root:
        path = root / "junit.xml"
        try:
            plain(report.save(path))
        except FileNotFoundError:
            return
        if path.exists():
            _fit(read_cases(path))


@target
def said(data: bytes) -> None:
    """What programs in a machine print: lists of processes, messages of package managers, of
    shells and of kernels, records of cases."""
    describe(processes(data))
    text = data.decode("utf-8", "replace")
    list(of_lines(text.split("\n"), "sh"))
    with folder() as root:
        (root / "said").write_bytes(data)
        read_record(root / "said")
        for line in (*last_lines(root / "said"), panic(root / "said")):
            plain(line)
    for manager in MANAGERS.values():
        manager.failure(text)
        manager.found(text)


@target
def shown(data: bytes) -> None:
    """Any text that is shown: nobody obeys it, and it says the same when it is shown again."""
    text = printable(data)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text)
    assert printable(text) == text
    plain(one_line(data))
    mild = unobeyed(text)
    assert not re.search(r"(?m)^\s*::|##(vso|teamcity)?\[", mild, re.IGNORECASE), ascii(mild)
    mild.encode()


@target
def page(data: bytes) -> None:
    """A log in a run's page, and names in its script: text, and no element but ours."""
    html = coloured(data, str)
    text, elements = re.subn(r'<span class="[a-z0-9 ]+">|</span>', "", html)
    assert not set("<>") & set(text)
    assert html.count("<span ") == html.count("</span>") == elements / 2
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", text)
    name = data.decode("utf-8", "replace")
    script = as_script({name: [name]})
    assert not set("<>&") & set(script)
    assert json.loads(script) == {name: [name]}


@target
def tar(data: bytes) -> None:
    """An archive of artifacts. Checksums of headers are put right, lest nothing else be tried."""
    _extracted(with_checksums(data))


@target
def artifacts(data: bytes) -> None:
    """The same, from a description: a line for each member, with the fields of its header (type,
    mode, size, name, link) and its content between tabs."""
    made: list[bytes] = []
    for line in data.split(b"\n"):
        kind, mode, size, name, link, content = (line.split(b"\t", 5) + [b""] * 6)[:6]
        size = size or b"%o" % len(content)
        made += (
            field[:width].ljust(width, b"\0")
            for field, width in (
                (name, 100), (mode, 8), (b"0", 8), (b"0", 8), (size, 12), (b"0", 12), (b"", 8),
                (kind, 1), (link, 100), (b"ustar\00000", 8), (b"", 247),
            )
        )  # fmt: skip
        made += (content, bytes(-len(content) % 512))
    _extracted(with_checksums(b"".join((*made, bytes(1024)))))


def _handed_on(data: bytes) -> None:
    """What is kept of a guest's cache."""
    try:
        out = b"".join(plain_tar(iter([data]), 1 << 16))
    except CollectError as error:
        told(InputError(str(error)))
        return
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        for one in tar:
            assert one.isdir() or one.isreg() or one.issym() or one.islnk()
            names = (one.name, one.linkname if one.islnk() else "")
            assert not any(n.startswith("/") or ".." in n.split("/") for n in names)
            assert one.mode & ~0o777 == 0


def _extracted(data: bytes) -> None:
    _handed_on(data)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    with folder() as root:
        dest = root / "a/b/c/cell"
        (dest / "artifacts").mkdir(parents=True)
        (root / "away").mkdir()
        (root / "away/file").write_bytes(b"kept")
        (dest / "artifacts/link").symlink_to(root / "away")
        pieces = [data[at : at + 700] for at in range(0, len(data), 700)]
        try:
            got = extract(
                iter(pieces), dest, limit_bytes=1 << 16, limit_files=50, only=("artifacts", "r.xml")
            )
        except CollectError as error:
            told(InputError(str(error)))
        else:
            assert got.bytes <= 1 << 16
            for line in (*got.refused, *got.skipped):
                plain(line)
        assert len(list(Path("/proc/self/fd").iterdir())) == opened
        there = {str(path.relative_to(root)): path for path in _below(root)}
        assert (root / "away/file").read_bytes() == b"kept"
        outside = [name for name in there if not name.startswith("a/b/c/cell/")]
        assert sorted(outside) == ["a", "a/b", "a/b/c", "a/b/c/cell", "away", "away/file"]
        for name, path in there.items():
            state = path.lstat()
            assert state.st_mode & 0o7022 == 0 or path.is_symlink()
            if not path.is_symlink():
                assert stat.S_ISDIR(state.st_mode) or (
                    stat.S_ISREG(state.st_mode) and state.st_nlink == 1
                )
            elif name != "a/b/c/cell/artifacts/link":
                raise AssertionError(f"a link was made: {name!a}")
    with suppress(ValueError):  # of what is no archive; ours are
        for _ in without_padding(data):
            pass


def _below(root: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(root):
        yield from (Path(top, name) for name in (*folders, *files))


class _Machine:
    """The other end of a shell, which knows each marker, as all that is root there may: it says
    pieces of `data` that end at \\x03, on stderr where they begin with \\x04. \\x01 is the
    marker of the command."""

    def __init__(self, data: bytes) -> None:
        self._pieces = data.split(b"\x03")[::-1]
        self._marker = b""

    def send(self, data: bytes) -> None:
        self._marker = re.findall(rb"_dm_m=([0-9a-f]{24})", data)[-1]

    def receive(self, timeout: float | None) -> list[tuple[int, bytes]]:
        if not self._pieces:
            return []
        piece = self._pieces.pop()
        kind = STDERR if piece.startswith(b"\x04") else STDOUT
        return [(kind, piece.replace(b"\x01", self._marker))]

    def shutdown(self) -> None: ...

    def close(self) -> None: ...


@target
def shell(data: bytes) -> None:
    """What a machine answers to commands; the first byte says how they are given."""
    first, rest = data[:1], data[1:]
    opened = Shell(_Machine(rest))
    heard: list[bytes] = []

    def hear(piece: bytes) -> None:
        heard.append(piece)
        _ = opened.process

    for number in range(6):
        apart = hear if first and first[0] >> number & 1 else None
        try:
            if number == 3:
                status = opened.ask("df -P /", output=hear)
            else:
                status = opened.run(
                    Command("true", output=hear, errors=apart, strict=number % 2 == 0)
                )
        except (ShellEndedError, TimeoutError, OSError, DistromatrixError):
            opened.drain(1.0)
            break
        assert isinstance(status, int)
    assert sum(map(len, heard)) <= 24 * len(rest)
