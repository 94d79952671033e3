"""xbps, of Void Linux. Commands and messages from its own sources (bin/xbps-install,
lib/repo_sync.c, version 0.59): no package of it can be had here, so that they were never run
here. Its exit statuses are errno's numbers."""

from __future__ import annotations

import re

from distromatrix.images.packages.base import Mirror, PackageManager, unique, write

_NOT_FOUND = re.compile(
    r"^(?:ERROR: )?(?:Package '([^']+)' not found in repository pool"
    r"|Unable to locate '([^']+)' in repository pool)",
    re.MULTILINE,
)
_SYNC = r"^(?:ERROR: )?(\[reposync\] failed to fetch file `\S+': "
_GONE = re.compile(_SYNC + r"Not Found.*)", re.MULTILINE)
_UNREACHABLE = re.compile(
    _SYNC + r".*)|^ERROR: (.*(?:failed to download|Failed to download).*)", re.MULTILINE
)
_UNTRUSTED = re.compile(
    r"^(?:ERROR: )?(.*(?:the RSA signature is not valid|Failed to import pubkey).*)",
    re.MULTILINE,
)
_ERROR = re.compile(r"^(?:ERROR: )?(Transaction aborted .*)|^ERROR: (.*)", re.MULTILINE)

# xbps must be up to date before it does anything else, and what is installed before something
# new is (https://docs.voidlinux.org/xbps/index.html, Updating). EEXIST (17): it was already.
_INSTALL = """\
export LC_ALL=C
already() { "$@" || { status=$?; [ $status = 17 ] || exit $status; }; }
already xbps-install -Syu xbps
already xbps-install -yu
already xbps-install -y -- {packages}
rm -rf /var/cache/xbps/*
"""
# Repositories of /usr/share/xbps.d count unless /etc/xbps.d has a file of the same name.
_MASK = """\
mkdir -p /etc/xbps.d
for file in /usr/share/xbps.d/*-repository-*.conf; do
if [ -e "$file" ]; then : >"/etc/xbps.d/${file##*/}"; fi
done
arch=$(xbps-uhelper arch)
"""
# A line is `[-] name-version_revision  description`.
_PKGVER = re.compile(r"^\[[-*]\] (\S+)-[^-\s]+_\d+(?:\s|$)", re.MULTILINE)


def _use(mirror: Mirror) -> str:
    lines = (f"repository={url}" for url in mirror.urls("$arch"))
    return _MASK + write("/etc/xbps.d/00-repository-main.conf", *lines)


XBPS = PackageManager(
    name="xbps",
    script=_INSTALL,
    not_found=_NOT_FOUND,  # it stops at the first
    faults=(("gone", _GONE), ("unreachable", _UNREACHABLE), ("untrusted", _UNTRUSTED)),
    error=_ERROR,
    search="LC_ALL=C xbps-query -Rs ''\n",
    found=lambda output: unique(_PKGVER.findall(output)),
    use=_use,
)
