"""What the targets share. A target is a function for one kind of input that nobody vouches for: it
takes bytes, and raises for what must not be, be it an exception that nobody promised, or a promise
that is broken. The same functions serve Hypothesis, the coverage-guided fuzzer and the corpus.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

from distromatrix.errors import DistromatrixError, InputError
from distromatrix.load import catalogue
from distromatrix.model import HostFacts

CORPUS = Path(__file__).parent / "corpus"
TODAY = date(2026, 11, 23)
FACTS = HostFacts(arch="x86_64", cpus=2, memory=1 << 32, today=TODAY)
Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")
_DISTRO = b"""\
title: One
family: debian
package_manager: apt
libc: glibc
image: [{pull: docker.io/library/one:1}]
packages: {python: [python3]}
"""
_MATRIX = b"distros: [one]\nsuites: {unit: {run: 'true'}, docs: {run: 'true'}}\n"


def target(function: Target) -> Target:
    """Name it among TARGETS: what lies in corpus/NAME is for it."""
    TARGETS[function.__name__] = function
    return function


def seeds(name: str) -> dict[str, bytes]:
    """What is in the corpus for a target, by the files' names."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, in memory where there is a place for that."""
    shared = Path("/dev/shm")
    place = shared if os.access(shared, os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="distromatrix-fuzz-", dir=place))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def project(matrix: bytes = _MATRIX, distro: bytes = _DISTRO) -> Iterator[Path]:
    """A project whose only distro is its own: to read all of the catalogue takes longer than
    anything else here."""
    with folder() as root:
        for name in ("matrix", "distros", "none"):
            (root / name).mkdir()
        (root / "distros/one.yaml").write_bytes(distro)
        (root / "matrix/default.yaml").write_bytes(matrix)
        with mock.patch.object(catalogue, "builtin_folder", lambda: root / "none"):
            yield root


def unpack(data: bytes, into: Path) -> None:
    """Write files below a folder, each of which begins with a line that names it: `@NAME`, or
    `@NAME -> PATH` for a link, `@NAME +` where it is added to what is there, and `@NAME ~` where
    what is there is JSON, and this its patch."""
    for part in re.split(rb"(?m)^@", data)[1:]:
        head, content = split(part)
        name, how, rest = re.fullmatch(rb"(.*?)(?: (->|\+|~)(.*))?", head, re.DOTALL).groups()  # type: ignore[union-attr]
        inside = os.path.normpath("/" + os.fsdecode(name.replace(b"\0", b""))).lstrip("/")
        path = into / inside
        with suppress(OSError, ValueError):  # there cannot be such a file
            path.parent.mkdir(parents=True, exist_ok=True)
            if how == b"->":
                path.unlink(missing_ok=True)
                path.symlink_to(os.fsdecode(rest.strip()))
            elif path.is_symlink():  # what we write follows none, either
                continue
            elif how == b"+":
                with path.open("ab") as file:
                    file.write(content)
            else:
                content = patched(path.read_bytes(), content) if how == b"~" else content
                path.write_bytes(content)


def patched(whole: bytes, patch: bytes) -> bytes:
    """JSON that a JSON merge patch (RFC 7396) was applied to, which may name places in lists, too.
    A patch that is no JSON is what comes of it."""
    try:
        return json.dumps(_merged(json.loads(whole), json.loads(patch))).encode()
    except (ValueError, RecursionError):
        return patch


def _merged(whole: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(whole, dict | list):
        return patch
    if isinstance(whole, list):
        places = {k: v for k, v in patch.items() if k.isascii() and k.isdigit() and len(k) < 6}
        if not places:
            return patch
        return [_merged(v, places[str(i)]) if str(i) in places else v for i, v in enumerate(whole)]
    kept = {key: value for key, value in whole.items() if key not in patch}
    given = {k: _merged(whole.get(k), v) for k, v in patch.items() if v is not None}
    return kept | given


def split(data: bytes) -> tuple[bytes, bytes]:
    """The first line, and all that follows it."""
    first, _, rest = data.partition(b"\n")
    return first, rest


def with_checksums(data: bytes) -> bytes:
    """An archive with a right checksum in every block that may be a header (tar(5))."""
    blocks = []
    for at in range(0, len(data), 512):
        block = data[at : at + 512]
        if len(block) == 512 and block[257:262] == b"ustar":
            block = block[:148] + b" " * 8 + block[156:]
            block = block[:148] + b"%06o\0 " % sum(block) + block[156:]
        blocks.append(block)
    return b"".join(blocks)


def plain(text: str) -> None:
    """It is one line, and no terminal obeys anything in it."""
    assert not _CONTROL.search(text), ascii(text)


def told(error: DistromatrixError) -> None:
    """It says something, and each fault is one plain line."""
    assert str(error).strip()
    faults = error.faults if isinstance(error, InputError) else ()
    for line in map(str, faults) if faults else str(error).split("\n"):
        plain(line)


# What has broken programs of all kinds; what is a kind's own comes out of its corpus.
_NASTY = (
    *(b"\0", b"\r", b"\n", b"\t", b"\x1b[31m", b"\x9b", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *("\u202e".encode(), "\u2028".encode(), "\U0001f600".encode(), b"../", b"/", b"..", b"*", b"-"),
    *(b"-1", b"0", b"1e309", b"NaN", b"9" * 30, b"9" * 5000, b"a" * 300, b"a/" * 60, b"[" * 200),
    *(b"::error::", b"##[error]", b"&a;", b"]]>", b"<!--", b"{}", b"[]", b"null", b'"', b"'", b"#"),
)
_WORD = re.compile(rb"[A-Za-z0-9_.-]+|[^\w\s]+")


def words(name: str) -> list[bytes]:
    """What inputs for a target may be made of."""
    own = (word for data in seeds(name).values() for word in _WORD.findall(data))
    return list(dict.fromkeys((*_NASTY, *(word for word in own if len(word) < 40))))
