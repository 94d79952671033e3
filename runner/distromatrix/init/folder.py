"""A product's folder, read with care: bounded, never outside of it, never executing anything.

What cannot be read or understood is a warning, and counts as not there.
"""

from __future__ import annotations

import ast
import configparser
import io
import json
import os
import stat
import tomllib
import warnings
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from distromatrix.wording import some_of, visible

MAX_BYTES = 1 << 20
MAX_FILES = 20_000
MAX_IN_FOLDER = 5_000  # so that one with very many hides no others
MAX_DEPTH = 8
_MOST_NAMED = 200
# Not the product's own: what tools make, and what is vendored in from elsewhere.
_SKIPPED = frozenset(
    {"node_modules", "__pycache__", "venv", "build", "dist", "target", "vendor", "_build"}
)


class ScannedFolder:
    """The files of a product. `warnings` are lines about those that are broken."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.warnings: list[str] = []
        self._parsed: dict[str, Mapping[str, Any]] = {}

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that path."""
        return self._inside(name) is not None

    def text(self, name: str) -> str:
        """A file's text, '' where there is none that can be read."""
        path = self._inside(name)
        if path is None:
            return ""
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            self.warn(f"{name}: cannot be read: {error.strerror}")
            return ""
        if len(data) > MAX_BYTES:
            self.warn(f"{name}: larger than {MAX_BYTES >> 20} MiB, not looked at")
            return ""
        return data.decode("utf-8-sig", errors="replace")

    def head(self, name: str) -> str:
        """The first 64 KiB of a file's text, '' where there are none; without a warning, for
        files that are only searched for a word."""
        path = self._inside(name)
        try:
            with path.open("rb") if path else io.BytesIO() as stream:
                return stream.read(1 << 16).decode("utf-8-sig", errors="replace")
        except OSError:
            return ""

    def toml(self, name: str) -> Mapping[str, Any]:
        """A TOML file, {} where there is none or a broken one."""
        return self._parse(name, "TOML", tomllib.loads)

    def json(self, name: str) -> Mapping[str, Any]:
        """A JSON file with an object in it, {} where there is none or a broken one."""
        return self._parse(name, "JSON", json.loads)

    def ini(self, name: str) -> Mapping[str, Mapping[str, str]]:
        """An INI file as sections of options (names in lower case), {} if broken."""
        return self._parse(name, "INI", parse_ini)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The paths of the files, sorted: down to a depth of eight, without hidden folders and
        those that tools make. Of 20,000 files and folders those nearest to the top, of any one
        folder 5,000."""
        found: list[str] = []
        folders = [PurePosixPath()]
        cut: PurePosixPath | None = None
        closed: list[str] = []
        seen = 0
        for at in folders:  # which grows on the way
            try:
                entries = _entries(self.root / at, min(MAX_IN_FOLDER, MAX_FILES - seen) + 1)
            except OSError as error:
                closed.append(f"{at} ({error.strerror})")
                continue
            if seen + len(entries) > MAX_FILES or len(entries) > MAX_IN_FOLDER:
                cut = cut or at
                del entries[-1]
            seen += len(entries)
            for name, is_folder in sorted(entries):
                if not is_folder:
                    found.append(str(at / name))
                elif name not in _SKIPPED and name[0] != "." and len(at.parts) < MAX_DEPTH:
                    folders.append(at / name)
            if seen == MAX_FILES and cut:
                break
        if closed:
            self.warn(f"cannot be read: {some_of(closed, 3)}")
        if cut is not None:
            where = "this folder" if cut == PurePosixPath() else cut
            self.warn(f"too many files, in {where} and perhaps others: not all were looked at")
        return tuple(sorted(found))

    def named(self, *globs: str) -> tuple[str, ...]:
        """The files that are called so, wherever they lie; of many the first."""
        found = (f for f in self.files if any(fnmatchcase(f.rpartition("/")[2], g) for g in globs))
        return tuple(islice(found, _MOST_NAMED))

    def below(self, folder: str) -> tuple[str, ...]:
        """The files in a folder and its subfolders."""
        return tuple(f for f in self.files if f.startswith(f"{folder}/"))

    def matching(self, *globs: str) -> tuple[str, ...]:
        """The files whose path matches one of the globs (`*` does not cross folders)."""
        return tuple(f for f in self.files if any(_match(f, g) for g in globs))

    def _inside(self, name: str) -> Path | None:
        path = self.root / name
        try:
            real = path.resolve()
            if real.is_relative_to(self.root.resolve()) and stat.S_ISREG(real.stat().st_mode):
                return real
        except (OSError, RuntimeError, ValueError):  # nothing there, a loop of links, …
            pass
        return None

    def _parse(self, name: str, kind: str, parse: Callable[[str], Any]) -> Mapping[str, Any]:
        if name not in self._parsed:
            value: Any = {}
            if text := self.text(name):
                try:
                    value = parse(text)
                except (ValueError, configparser.Error, RecursionError) as error:
                    self.warn(f"{name}: not valid {kind}, not looked at: {error}")
            self._parsed[name] = value if isinstance(value, dict) else {}
        return self._parsed[name]

    def warn_of_submodules(self) -> None:
        """Say which git submodules have nothing here: tests may lie there."""
        paths = (section.get("path", "") for section in self.ini(".gitmodules").values())
        inside = (p for p in paths if p and ".." not in p.split("/") and p[0] != "/")
        if absent := [p for p in inside if not _has_any(self.root / p)]:
            said = ", ".join(absent)
            self.warn(f"submodules that are not here (`submodule update --init` of git): {said}")

    def warn(self, line: str) -> None:
        """Say once that something cannot be read or understood."""
        line = " ".join(line.split())[:300]
        shown = visible(line)
        if shown not in self.warnings:
            self.warnings.append(shown)


def _has_any(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is not None
    except (OSError, ValueError):
        return False


def parse_ini(text: str) -> dict[str, dict[str, str]]:
    """Sections of options. Raises configparser.Error."""
    parser = configparser.RawConfigParser(
        strict=False, delimiters=("=", ":"), comment_prefixes=("#", ";"), allow_no_value=True
    )
    try:
        parser.read_string(text)
    except AttributeError:  # what configparser says of a value that goes on where none began
        raise configparser.Error("a line goes on that has no value") from None
    return {s: {k: v or "" for k, v in parser.items(s)} for s in parser.sections()}


def _entries(folder: Path, most: int) -> list[tuple[str, bool]]:
    """The names in a folder, in no order, and whether each is a folder (a link is none)."""
    with os.scandir(folder) as entries:
        return [(e.name, e.is_dir(follow_symlinks=False)) for e in islice(entries, most)]


def _match(path: str, glob: str) -> bool:
    return path.count("/") == glob.count("/") and PurePosixPath(path).match(glob)


def table(value: Any, *keys: str) -> Mapping[str, Any]:
    """The mapping at `keys` in nested mappings; {} where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def texts(value: Any) -> tuple[str, ...]:
    """The texts of a list or tuple, or the one text."""
    items = [value] if isinstance(value, str) else value
    return tuple(v for v in items if isinstance(v, str)) if isinstance(items, list | tuple) else ()


def parse_python(code: str) -> ast.Module:
    """The code, or nothing where it is not valid; warnings about it are not ours to tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])
