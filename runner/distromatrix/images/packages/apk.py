"""apk, of Alpine. Messages as apk-tools 2.14 prints them."""

from __future__ import annotations

import re

from distromatrix.images.packages.base import PackageManager, write

_NOT_FOUND = re.compile(r"^ +(\S+) \(no such package\):", re.MULTILINE)
# `fetching` since 2.14.1 or so, `updating and opening` and `Ignoring` before that. What goes
# to the other stream may come between this line's beginning and its rest.
_INDEX = r"^(?:(?:WARNING|ERROR): )?((?:fetching|updating and opening|opening|Ignoring) \S+: "
_GONE = re.compile(_INDEX + r"(?:No such file or directory|HTTP 404).*)", re.MULTILINE)
_UNTRUSTED = re.compile(_INDEX + r"(?:UNTRUSTED|BAD) .*)", re.MULTILINE)
_UNREACHABLE = re.compile(_INDEX + r".*)", re.MULTILINE)
_FETCH = re.compile(
    r"^ERROR: (\S+: (?:temporary error|network error|DNS lookup error|could not connect"
    r"|operation timed out|network connection aborted|remote server returned error).*)",
    re.MULTILINE,
)
_ERROR = re.compile(r"^ERROR: (.*)", re.MULTILINE)


APK = PackageManager(
    name="apk",
    script="apk add --no-cache --no-progress -- {packages}\n",
    not_found=_NOT_FOUND,
    faults=(
        ("gone", _GONE),
        ("untrusted", _UNTRUSTED),
        ("unreachable", _UNREACHABLE),
        ("unreachable", _FETCH),
    ),
    error=_ERROR,
    search="apk search --no-cache -q\n",
    found=lambda output: tuple(x for x in output.splitlines() if x and " " not in x),
    # apk adds the architecture by itself.
    use=lambda mirror: write("/etc/apk/repositories", *mirror.urls("$(apk --print-arch)")),
)
