"""Where a matrix asks for a package, also in a file that was changed while a run goes on."""

from pathlib import Path

import pytest
from images_fakes import cell, distro

from distromatrix.load.places import package_place
from distromatrix.model import Pull

DEBIAN = distro(Pull(ref="docker.io/library/debian:12"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("suites:\n  unit:\n    packages: [gcc, git]\n", "3:21"),
        ("suites: {unit: {}}\ndefaults: {packages: [git]}\n", "2:23"),
        ("rules:\n  - packages: [gcc]\n  - packages: [git]\n", "3:16"),
        ("suites: {unit: {packages: [[git], {git: x}]}}\n", ""),
        ("suites: {unit: [git]}\nrules: git\n", ""),
    ],
)
def test_the_place_that_asks_for_a_package_is_found_in_whatever_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (file := tmp_path / "m.yaml").write_text(text)
    found = package_place(file, cell(id="debian-12/unit", suite="unit"), DEBIAN, "git")
    assert found == (f"m.yaml:{place}" if place else "")
