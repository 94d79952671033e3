"""apt, of Debian and what comes from it. Messages as apt 2.2 to 3.x print them in the C locale."""

from __future__ import annotations

import re

from distromatrix.images.packages.base import PackageFailure, first, quoted, unique

_NOT_FOUND = re.compile(
    r"^E: (?:Unable to locate package (?P<a>\S+)"
    r"|Package '(?P<b>[^']+)' has no installation candidate"
    r"|Version '[^']*' for '(?P<c>[^']+)' was not found)",
    re.MULTILINE,
)
_UNREACHABLE = re.compile(
    r"((?:Could not resolve|Temporary failure resolving|Could not connect to"
    r"|Unable to connect to|Cannot initiate the connection to|Connection failed"
    r"|Connection timed out|Could not handshake|Certificate verification failed"
    r"|Could not wait for server fd).*)"
)
# What else cannot be fetched (a 404 in the middle of a mirror's update, a 503, a hash that
# does not fit) is the mirror's doing too.
_FETCH = re.compile(r"^E: (Failed to fetch .*)", re.MULTILINE)
_EXPIRED = re.compile(r"Release file for (\S+) is (?:expired|not valid yet)")
_ERROR = re.compile(r"^E: (.*)", re.MULTILINE)

# Lists that could not be fetched are an error, not a warning; names no recommended extras;
# does not flush each file to a disk whose content can be made again.
_APT = (
    "apt-get -q -y -o APT::Update::Error-Mode=any -o Acquire::Retries=2 "
    "-o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io "
    "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
)
# A package starts no service when it is installed, as in Docker's own images: it would not
# live on in the layer, but what it left behind (a pid file, a socket) would.
_NO_SERVICES = (
    "if [ ! -e /usr/sbin/policy-rc.d ]; then\n"
    "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d\n"
    "chmod 755 /usr/sbin/policy-rc.d\n"
    "fi\n"
)


class Apt:
    """apt-get."""

    name = "apt"

    def install(self, packages: tuple[str, ...]) -> str:
        """See PackageManager."""
        return (
            "export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n"
            f"{_NO_SERVICES}"
            f"{_APT} update\n"
            f"{_APT} --no-install-recommends install -- {quoted(packages)}\n"
            "apt-get clean\n"
            "rm -rf /var/lib/apt/lists/*\n"
        )

    def failure(self, output: str) -> PackageFailure:
        """See PackageManager."""
        names = (next(filter(None, m.groups())) for m in _NOT_FOUND.finditer(output))
        return PackageFailure(
            not_found=unique(names),
            unreachable=first(_UNREACHABLE, output) or first(_FETCH, output),
            expired=first(_EXPIRED, output),
            error=first(_ERROR, output),
        )
