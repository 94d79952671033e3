"""The formats that can be imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from distromatrix.files.below import Folder
from distromatrix.load.imports import debian, tmt
from distromatrix.load.imports.imported import Imported


class Format(NamedTuple):
    """`usual`: where it lies in a product; `holds`: the file by which it is known, in words;
    `is_there`: whether a folder of the product (its path) is of this format; `read_suites`: what
    it holds, which raises InputError."""

    usual: str
    holds: str
    is_there: Callable[[Folder, str], bool]
    read_suites: Callable[[Folder, str], Imported]


FORMATS: Mapping[str, Format] = {
    "debian": Format("debian/tests", "control", debian.is_there, debian.read_suites),
    "tmt": Format(".", ".fmf/version", tmt.is_there, tmt.read_suites),
}
