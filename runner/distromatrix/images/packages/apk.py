"""apk, of Alpine. Messages as apk-tools 2.14 prints them."""

from __future__ import annotations

import re

from distromatrix.images.packages.base import PackageFailure, first, quoted, unique

_NOT_FOUND = re.compile(r"^ +(\S+) \(no such package\):", re.MULTILINE)
# `fetching` since 2.14.1 or so, `updating and opening` and `Ignoring` before that.
_UNREACHABLE = re.compile(
    r"^(?:WARNING|ERROR): ((?:fetching|updating and opening|opening|Ignoring) \S+: .*)",
    re.MULTILINE,
)
_FETCH = re.compile(
    r"^ERROR: (\S+: (?:temporary error|network error|DNS lookup error|could not connect"
    r"|operation timed out|network connection aborted|remote server returned error).*)",
    re.MULTILINE,
)
_ERROR = re.compile(r"^ERROR: (.*)", re.MULTILINE)


class Apk:
    """apk."""

    name = "apk"

    def install(self, packages: tuple[str, ...]) -> str:
        """See PackageManager."""
        return f"apk add --no-cache --no-progress -- {quoted(packages)}\n"

    def failure(self, output: str) -> PackageFailure:
        """See PackageManager. Where an index could not be fetched, that a package is not
        found says nothing; so both are told, and the caller lets `unreachable` win."""
        return PackageFailure(
            not_found=unique(_NOT_FOUND.findall(output)),
            unreachable=first(_UNREACHABLE, output) or first(_FETCH, output),
            error=first(_ERROR, output),
        )
