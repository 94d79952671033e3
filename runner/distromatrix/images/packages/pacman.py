"""pacman, of Arch Linux. Messages as pacman 6.0 to 7.1 print them in the C locale."""

from __future__ import annotations

import re

from distromatrix.images.packages.base import Mirror, PackageManager, unique, write

_NOT_FOUND = re.compile(r"^error: target not found: (\S+)", re.MULTILINE)
_GONE = re.compile(r"^error: (failed retrieving file '\S+\.db' from \S+ : .* 404.*)", re.MULTILINE)
_UNREACHABLE = re.compile(r"^error: (failed retrieving file '.*' from .*)", re.MULTILINE)
_UNTRUSTED = re.compile(
    r"^(?:error: )?(.*(?:missing required signature|is (?:unknown|marginal|never) trust"
    r"|signature from .* is invalid|\(PGP signature\)|could not be looked up remotely"
    r"|keyring is not writable).*)",
    re.MULTILINE,
)
_ERROR = re.compile(r"^error: (?!:: )(.*)", re.MULTILINE)

# Without the whole system being brought up to date (`-u`), what is installed may not fit to
# what is there (https://wiki.archlinux.org/title/System_maintenance, Partial upgrades). Keys
# go first: without new ones an old image can check nothing new. A sandbox of pacman's own is
# not to be had in every container, and of no use within one.
_INSTALL = """\
export LC_ALL=C
set -- --noconfirm --needed --noprogressbar
if pacman -S --help | grep -q -e --disable-sandbox; then set -- "$@" --disable-sandbox; fi
pacman -Sy "$@"
for keys in $(pacman -Qq | grep -e '-keyring$'); do
if pacman -Si "$keys" >/dev/null 2>&1; then pacman -S "$@" "$keys"; fi
done
pacman -Su "$@" -- {packages}
rm -rf /var/cache/pacman/pkg/* /var/lib/pacman/sync/*
"""
# A list that nothing includes would silently change nothing.
_INCLUDED = """\
if ! grep -q '^ *Include *= */etc/pacman.d/mirrorlist' /etc/pacman.conf; then
echo 'error: /etc/pacman.conf does not include /etc/pacman.d/mirrorlist' >&2; exit 1
fi
"""


def _use(mirror: Mirror) -> str:
    """The repositories and their signatures' level stay as pacman.conf has them; they all say
    `Include` of this list. So a repository's path begins with its name, as on Arch's mirrors:
    `core/os/{arch}`."""
    paths = (r.partition("/")[2].replace("{arch}", "\\$arch") for r in mirror.repositories)
    base = f"Server = {mirror.url.rstrip('/')}/\\$repo/"
    return _INCLUDED + write("/etc/pacman.d/mirrorlist", *unique(base + p for p in paths))


# Optional dependencies are never installed; whether documentation is, the image says (NoExtract
# in its pacman.conf).
PACMAN = PackageManager(
    name="pacman",
    script=_INSTALL,
    not_found=_NOT_FOUND,
    faults=(("untrusted", _UNTRUSTED), ("gone", _GONE), ("unreachable", _UNREACHABLE)),
    error=_ERROR,
    search="LC_ALL=C pacman -Ssq\n",
    use=_use,
)
