"""apk, of Alpine. Messages as apk-tools 2.14 prints them."""

from __future__ import annotations

import re

from distromatrix.images.packages.base import (
    Mirror,
    PackageFailure,
    first,
    quoted,
    unique,
    write,
)

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


class Apk:
    """apk."""

    name = "apk"

    def install(self, packages: tuple[str, ...]) -> str:
        """See PackageManager."""
        return f"apk add --no-cache --no-progress -- {quoted(packages)}\n"

    def failure(self, output: str) -> PackageFailure:
        """See PackageManager. Where an index could not be fetched, that a package is not
        found says nothing; so both are told, and the caller lets `unreachable` win."""
        gone, untrusted = first(_GONE, output), first(_UNTRUSTED, output)
        unreachable = first(_UNREACHABLE, output) or first(_FETCH, output)
        return PackageFailure(
            not_found=unique(_NOT_FOUND.findall(output)),
            unreachable="" if unreachable in (gone, untrusted) else unreachable,
            gone=gone,
            untrusted=untrusted,
            error=first(_ERROR, output),
        )

    def search(self) -> str:
        """See PackageManager."""
        return "apk search --no-cache -q\n"

    def found(self, output: str) -> tuple[str, ...]:
        """See PackageManager."""
        return tuple(line for line in output.splitlines() if line and " " not in line)

    def use(self, mirror: Mirror) -> str:
        """See PackageManager. apk adds the architecture by itself."""
        return write("/etc/apk/repositories", *mirror.urls("$(apk --print-arch)"))
