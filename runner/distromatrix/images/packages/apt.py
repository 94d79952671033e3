"""apt, of Debian and what comes from it. Messages as apt 2.2 to 3.x print them in the C locale."""

from __future__ import annotations

import re

from distromatrix.images.packages.base import Mirror, PackageManager, write

_NOT_FOUND = re.compile(
    r"^E: (?:Unable to locate package (\S+)"
    r"|Package '([^']+)' has no installation candidate"
    r"|Version '[^']*' for '([^']+)' was not found)",
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
_GONE = re.compile(
    r"^E: (The repository '.*' (?:does not|no longer) have a Release file)", re.MULTILINE
)
_UNTRUSTED = re.compile(
    r"^[EW]: ((?:GPG error|Signature verification failed|The repository '.*' is (?:not|no longer)"
    r" signed).*)",
    re.MULTILINE,
)
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
# The keyring that the distribution's own sources name, of either form (sources.list(5)).
_KEYRING = (
    "keyring=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -n "
    "-e 's/^[Ss]igned-[Bb]y: *\\(\\/[^ ]*\\).*/\\1/p' "
    "-e 's/^deb .*signed-by=\\(\\/[^] ,]*\\).*/\\1/p' | head -n 1)\n"
)
# apt passes over files that end so without a word.
_ASIDE = (
    "for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list "
    "/etc/apt/sources.list.d/*.sources; do\n"
    'if [ -e "$file" ]; then mv "$file" "$file.disabled"; fi\n'
    "done\n"
)
# What an archive has is never renewed: the day until which a Release file is valid has passed.
NO_VALID_UNTIL = 'Acquire::Check-Valid-Until "false"'


def _use(mirror: Mirror) -> str:
    """A repository is a suite and its components."""
    entries = []
    for repository in mirror.repositories:
        suite, _, components = repository.partition(" ")
        entries += ["Types: deb", f"URIs: {mirror.url}", f"Suites: {suite}"]
        entries += [f"Components: {components or 'main'}"]
        entries += ["${keyring:+Signed-By: $keyring}", ""]  # an empty line ends an entry
    sources = write("/etc/apt/sources.list.d/distromatrix.sources", *entries)
    old = write("/etc/apt/apt.conf.d/99distromatrix", f"{NO_VALID_UNTIL};")
    return _KEYRING + _ASIDE + sources + (old if mirror.archive else "")


APT = PackageManager(
    name="apt",
    script=(
        "export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n"
        f"{_NO_SERVICES}"
        f"{_APT} update\n"
        f"{_APT} --no-install-recommends install -- {{packages}}\n"
        "apt-get clean\n"
        "rm -rf /var/lib/apt/lists/*\n"
    ),
    not_found=_NOT_FOUND,
    faults=(
        ("unreachable", _UNREACHABLE),
        ("gone", _GONE),
        ("unreachable", _FETCH),
        ("expired", _EXPIRED),
        ("untrusted", _UNTRUSTED),
    ),
    error=_ERROR,
    search="apt-cache pkgnames\n",
    use=_use,
)
