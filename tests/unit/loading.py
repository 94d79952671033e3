"""A small project on disk to load, and what its loading says."""

from __future__ import annotations

import textwrap
from datetime import date
from pathlib import Path
from typing import Any

from distromatrix.errors import Fault, InputError
from distromatrix.load import load_matrix
from distromatrix.model import Distro, ImageSource, Matrix

TODAY = date(2026, 11, 23)
SMALL = """\
distros: [debian-12]
suites:
  unit: {run: "true"}
"""


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "matrix").mkdir()
        self.file = root / "matrix" / "default.yaml"

    def write(self, text: str) -> Path:
        self.file.write_text(textwrap.dedent(text), encoding="utf-8")
        return self.file

    def distro(self, name: str, text: str) -> Path:
        folder = self.root / "distros"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def load(self, text: str | None = None, today: date = TODAY) -> Matrix:
        if text is not None:
            self.write(text)
        return load_matrix(self.file, today=today)

    def faults(self, text: str | bytes | None = None) -> tuple[Fault, ...]:
        """The faults of loading, which must fail."""
        if isinstance(text, bytes):
            self.file.write_bytes(text)
        elif text is not None:
            self.write(text)
        try:
            load_matrix(self.file, today=TODAY)
        except InputError as error:
            assert all("\n" not in str(fault) for fault in error.faults)
            return error.faults
        raise AssertionError("was loaded without a fault")

    def fault(self, text: str | bytes | None = None) -> Fault:
        """The one fault of loading."""
        faults = self.faults(text)
        assert len(faults) == 1, "\n".join(map(str, faults))
        return faults[0]


def place(fault: Fault) -> tuple[int, int]:
    return fault.line, fault.column


def debian(name: str, *image: ImageSource, **more: Any) -> Distro:
    """A distro of Debian's family, without a file."""
    return Distro(
        name=name,
        title=name,
        family="debian",
        package_manager="apt",
        libc="glibc",
        image=image,
        **more,
    )
