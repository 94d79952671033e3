"""`distromatrix init --from`: what `suites: {import: …}` reads, written out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from init_world import FILE, Init
from loading import TODAY

from distromatrix.load import load_matrix
from distromatrix.load.imports.formats import FORMATS
from distromatrix.model import Suite

DEBIAN = {
    "debian/control": "Source: a\nBuild-Depends: debhelper\n\nPackage: a\nArchitecture: any\n",
    "debian/tests/control": (
        "Tests: smoke\nDepends: @, python3 | python\nRestrictions: allow-stderr, skippable\n\n"
        "Test-Command: a --version | grep -q '1: \"2\"' # a comment?\nRestrictions: flaky\n\n"
        "Tests: far\nRestrictions: made-up\n"
    ),
    "debian/tests/smoke": "#!/bin/sh\n",
}
TMT = {
    ".fmf/version": "1\n",
    "main.fmf": (
        "test: ./t.sh\nduration: 5m\nenvironment: {A: '1', B: 'x: y # z', C: \"l\\n m\\n\"}\n"
    ),
    "one.fmf": "require: [make, g++]\nresult: xfail\n",
    "two.fmf": "test: |\n  cd /\n\n  true\n",
    "three.fmf": "framework: beakerlib\n",
}


def suites_of(text: str) -> list[Suite]:
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text)
    matrix = load_matrix(FILE, today=TODAY)
    return sorted((replace(s, distros=("*",)) for s in matrix.suites), key=lambda one: one.name)


@pytest.mark.parametrize(("name", "files"), [("debian", DEBIAN), ("tmt", TMT)])
def test_what_is_written_is_what_would_be_imported(
    init: Init, name: str, files: dict[str, str]
) -> None:
    for path, text in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    said = init("--from", name, "--distros", "debian-12,debian-13")
    assert said.code == 0
    assert "left out" in said.out
    text = FILE.read_text()
    assert "left out" in " ".join(text.replace("#", " ").split())
    written = suites_of(text)
    head = text.partition("suites:\n")[0]
    assert written == suites_of(f"{head}suites: {{import: {FORMATS[name].usual}}}\n")
    assert len(written) == 2


def test_debian_tests_are_for_its_family(init: Init) -> None:
    for path, text in DEBIAN.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    said = init("--from", "debian", "--distros", "fedora-45")
    assert (said.code, said.out) == (2, "")
    assert "no distro matches `fedora-45`" in said.err


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_without_such_tests_is_a_fault(init: Init, name: str) -> None:
    said = init("--from", name)
    assert (said.code, said.out) == (2, "")
    assert f"--from {name}: there is no {FORMATS[name].usual}/" in said.err
    assert not FILE.exists()
