"""Meson projects with tests."""

from __future__ import annotations

import re

from distromatrix.init.facts import IN_CONTAINER, Draft, Finding
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.libraries import ABOUT, built_with, more

_TEST = re.compile(r"^[ \t]*+test\s*+\(", re.MULTILINE)
_PYTHON = re.compile(r"""\bimport\s*+\(\s*+['"]python['"]""")
_CPP = re.compile(r"""['"]cpp['"]""")


def tests(folder: ScannedFolder) -> str:
    """The text of all its meson.build, '' where they have no test()."""
    text = "\n".join(map(folder.text, folder.named("meson.build")))
    return text if _TEST.search(text) else ""


def look(folder: ScannedFolder) -> Finding | None:
    """A meson.build, or None."""
    if not folder.has("meson.build"):
        return None
    text = tests(folder)
    if not text:
        return Finding(source="meson.build", what="Meson, but no test()")
    packages = ["meson", "compiler"]
    if _CPP.search(text):
        packages.append("c++")
    if _PYTHON.search(text):
        packages += ["python", "python-dev", "pytest"]
    if "dependency(" in text:
        packages.append("pkg-config")
    draft = Draft(
        name="meson",
        about=(
            f"meson.build: meson test. {ABOUT}",
            IN_CONTAINER,
        ),
        packages=more(packages, built_with(folder, "meson.build")),
        setup="meson setup /tmp/build\nmeson compile -C /tmp/build",
        run=(
            "status=0\n"
            "meson test -C /tmp/build --print-errorlogs || status=$?\n"
            'cp /tmp/build/meson-logs/testlog.junit.xml "$DISTROMATRIX_JUNIT"\n'
            "exit $status"
        ),
    )
    return Finding(source="meson.build", what="meson test", drafts=(draft,))
