"""Programs and data that tests use and minimal images lack, found by their names in the tests.

Only those whose package is called alike nearly everywhere (or has a common name in the
catalogue); one too many costs a small package, one too few a red cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from distromatrix.init.folder import ScannedFolder

MAX_READ = 300
# As a word of its own in quotes: `"less"`, `"git status"`.
_QUOTED = re.compile(r"""["']\s*(less|git|gcc|curl|wget|rsync|unzip|hg|gpg)\s*["'\s]""")
# As a program that is looked for or called; the bare word is too common.
_CALLED = re.compile(
    r"""(?:which|run|call|Popen|check_call|check_output|system|\bexec\w*+)\(\s*+(?:\[\s*+)?"""
    r"""["'](make|file|patch|zip|ps|tree|bash|cc|ssh)["'\s]"""
)
_CPLUSPLUS = re.compile(r"""\.(?:cpp|cxx)["']""")  # a file that is compiled
_ZONES = re.compile(r"\b(?:zoneinfo|dateutil|pytz|tzset|ZoneInfo|tzlocal)\b")
_PACKAGES = {
    "gcc": "compiler",
    "cc": "compiler",
    "hg": "mercurial",
    "gpg": "gnupg",
    "ps": "procps",
    "ssh": "openssh-client",
}


def wanted_packages(folder: ScannedFolder, tests: Iterable[str]) -> tuple[str, ...]:
    """Packages with the programs and data that the texts of these files name, sorted."""
    found: set[str] = set()
    for path in tuple(tests)[:MAX_READ]:
        text = folder.head(path)
        names = {*_QUOTED.findall(text), *_CALLED.findall(text)}
        found |= {_PACKAGES.get(name, name) for name in names}
        if _CPLUSPLUS.search(text):
            found |= {"compiler", "c++"}
        if _ZONES.search(text):
            found.add("tzdata")
    return tuple(sorted(found))
