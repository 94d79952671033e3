"""CMake projects with tests."""

from __future__ import annotations

import re

from distromatrix.init.facts import IN_CONTAINER, Draft, Finding
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.libraries import ABOUT, built_with, more

_ENABLED = re.compile(
    r"^[ \t]*+(enable_testing\s*+\(|include\s*+\(\s*+CTest\b)", re.MULTILINE | re.I
)
_PKG_CONFIG = re.compile(r"\bPkgConfig\b|pkg_check_modules", re.I)


def look(folder: ScannedFolder) -> Finding | None:
    """A CMakeLists.txt, or None."""
    if not folder.has("CMakeLists.txt"):
        return None
    text = "\n".join(map(folder.text, folder.named("CMakeLists.txt")))
    if not _ENABLED.search(text):
        said = "CMake, but neither enable_testing() nor include(CTest)"
        return Finding(source="CMakeLists.txt", what=said)
    packages = ["cmake", "make", "compiler", "c++"]
    if _PKG_CONFIG.search(text):
        packages.append("pkg-config")
    draft = Draft(
        name="ctest",
        about=(
            f"CMakeLists.txt: ctest. {ABOUT}",
            "CTest writes JUnit reports from version 3.21 on.",
            IN_CONTAINER,
        ),
        packages=more(packages, built_with(folder, "CMakeLists.txt", "*.cmake")),
        setup="cmake -S . -B /tmp/build\ncmake --build /tmp/build",
        run='cd /tmp/build\nctest --output-on-failure --output-junit "$DISTROMATRIX_JUNIT"',
    )
    return Finding(source="CMakeLists.txt", what="ctest", drafts=(draft,))
