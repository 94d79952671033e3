"""Products with a Makefile that has a `check` or `test` target."""

from __future__ import annotations

import re

from distromatrix.init.facts import Draft, Finding
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.libraries import built_with, more

_NAMES = ("GNUmakefile", "makefile", "Makefile")
_COMPILES = re.compile(r"\$[({](CC|CXX|CFLAGS|CXXFLAGS|LD)[)}]|\b(gcc|g\+\+|cc)\b")


def look(folder: ScannedFolder) -> Finding | None:
    """The Makefile that make would read, or None."""
    source = next((name for name in _NAMES if folder.has(name)), "")
    if not source:
        return None
    text = folder.text(source)
    targets = [t for t in ("check", "test", "tests") if re.search(rf"^{t}\s*::?(?!=)", text, re.M)]
    if not targets:
        return Finding(source=source, what="a Makefile without a target check or test")
    compiled = _COMPILES.search(text) or any(
        p.endswith((".c", ".cc", ".cpp")) for p in folder.files
    )
    draft = Draft(
        name=targets[0],
        about=(
            f"{source}: make {targets[0]}. What else its recipes call belongs to `packages`.",
            "make writes no JUnit report; if the tests can, let them write to $DISTROMATRIX_JUNIT.",
        ),
        packages=more(("make", *(("compiler",) if compiled else ())), built_with(folder, source)),
        run=f"make {targets[0]}",
    )
    return Finding(source=source, what=f"make {targets[0]}", drafts=(draft,))
