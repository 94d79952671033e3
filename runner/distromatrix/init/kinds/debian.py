"""Debian source packages with tests of the installed package (autopkgtest, DEP-8)."""

from __future__ import annotations

from distromatrix.init import reports
from distromatrix.init.facts import Draft, Finding
from distromatrix.init.folder import ScannedFolder


def look(folder: ScannedFolder) -> Finding | None:
    """A debian/tests/control, or None."""
    if not folder.has("debian/tests/control"):
        return None
    draft = Draft(
        name="autopkgtest",
        about=(
            "debian/tests: builds the package, installs it and tests it as Debian does.",
            "For Debian and what comes from it; leave other distros out by a rule.",
        ),
        packages=("autopkgtest", "build-essential", "fakeroot"),
        setup="apt-get update -q",
        run=reports.AUTOPKGTEST,
        timeout="1h",
        user="root",
    )
    return Finding(source="debian/tests/control", what="autopkgtest", drafts=(draft,))
