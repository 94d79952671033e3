"""Products that are built by a configure script."""

from __future__ import annotations

import re

from distromatrix.init import reports
from distromatrix.init.facts import IN_CONTAINER, Draft, Finding
from distromatrix.init.folder import ScannedFolder
from distromatrix.init.libraries import ABOUT, built_with, more

_TESTS = re.compile(r"^[ \t]*+(TESTS|check_PROGRAMS|TEST_SUITE_LOG)\b", re.MULTILINE)
_CHECK = re.compile(r"^(check|test)\s*:(?!=)", re.MULTILINE)


def look(folder: ScannedFolder) -> Finding | None:
    """A configure script, or what one is made of, or None."""
    source = next((f for f in ("configure.ac", "configure.in", "configure") if folder.has(f)), "")
    if not source:
        return None
    makefiles = folder.named("Makefile.am", "Makefile.in")
    if source == "configure" and not makefiles:
        return None  # a script of another kind
    packages = ["compiler", "make"]
    steps = []
    said = folder.text(source)
    if not folder.has("configure"):
        packages += ["autoconf", "automake", "libtool"]
        packages += ["gettext"] if re.search(r"GETTEXT|AC_CONFIG_MACRO_DIR.*gettext", said) else []
        steps.append("./autogen.sh" if folder.has("autogen.sh") else "autoreconf -fi")
    if "PKG_" in said:
        packages.append("pkg-config")
    if "AC_PROG_CXX" in said:
        packages.append("c++")
    text = "\n".join(map(folder.text, makefiles))
    harness = bool(_TESTS.search(text)) and "serial-tests" not in said
    target = found[1] if (found := _CHECK.search(text)) and not harness else "check"
    draft = Draft(
        name="check",
        about=(
            f"{source}: make {target}. {ABOUT}",
            IN_CONTAINER,
        ),
        packages=more(packages, built_with(folder, "configure.ac", "configure.in")),
        setup="\n".join((*steps, "sh ./configure", "make")),
        run=reports.AUTOMAKE_CHECK if harness else f"make {target}",
    )
    return Finding(source=source, what=f"make {target}", drafts=(draft,))
