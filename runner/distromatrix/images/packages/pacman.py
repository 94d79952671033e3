"""pacman, of Arch Linux. Messages as pacman 6.0 to 7.1 print them in the C locale."""

from __future__ import annotations

import re

from distromatrix.images.packages.base import Download, Mirror, PackageManager, unique, write
from distromatrix.images.packages.lookup import Lookup, paths_of

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
_BEGIN = """\
export LC_ALL=C
set -- --noconfirm --needed --noprogressbar
if pacman -S --help | grep -q -e --disable-sandbox; then set -- "$@" --disable-sandbox; fi
"""
_SYNC = 'pacman -Sy "$@"\n'
_INSTALL = """\
for keys in $(pacman -Qq | grep -e '-keyring$'); do
if pacman -Si "$keys" >/dev/null 2>&1; then pacman -S "$@" "$keys"; fi
done
pacman -Su "$@" -- {packages}
"""
_CLEAN = "rm -rf /var/cache/pacman/pkg/* /var/lib/pacman/sync/*\n"
# A package without its signature beside it is downloaded again, and the signature is in the index,
# if anywhere (repo-add(8), --include-sigs).
_WANTS = rf"""{_BEGIN}{_SYNC.strip()} >&2
pacman -Sup --print-format %l "$@" -- {{packages}} 2>/dev/null | sed 's|.*/||' >/tmp/wanted
for index in /var/lib/pacman/sync/*.db; do
bsdtar -xOf "$index" '*/desc' 2>/dev/null; echo %END%
done | awk -v folder=/var/cache/pacman/pkg '
BEGIN {{ while ((getline line <"/tmp/wanted") > 0) wanted[line] = 1 }}
/^%[A-Z0-9]*%$/ {{ key = $0
if ((key == "%FILENAME%" || key == "%END%") && name in wanted) {{
print sum, folder "/" name
if (sig) print sig, folder "/" name ".sig" >"/tmp/signed" }}
if (key == "%FILENAME%") sum = sig = name = ""
next }}
key == "%FILENAME%" && NF {{ name = $0 }}
key == "%SHA256SUM%" && NF {{ sum = $0 }}
key == "%PGPSIG%" {{ sig = sig $0 }}'
if [ -f /tmp/signed ]; then
while read -r sig file; do printf %s "$sig" | base64 -d >"$file"; done </tmp/signed
fi
rm -f /tmp/wanted /tmp/signed
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


_LOOKUP = (
    _BEGIN.replace(" --needed", "")
    + r"""
pacman -Fy "$@" >&2
look() { pacman -Fqx "^$2\$" | sed "s,^.*/,,; s/^/$1 /" || :; }
{each}
"""
    + _CLEAN
)


# Optional dependencies are never installed; whether documentation is, the image says (NoExtract
# in its pacman.conf).
PACMAN = PackageManager(
    name="pacman",
    script=_BEGIN + _SYNC + _INSTALL + _CLEAN,
    downloads=(Download(wants=_WANTS, gets=_BEGIN + _INSTALL),),
    rest=_CLEAN,
    not_found=_NOT_FOUND,
    faults=(("untrusted", _UNTRUSTED), ("gone", _GONE), ("unreachable", _UNREACHABLE)),
    error=_ERROR,
    search="LC_ALL=C pacman -Ssq\n",
    use=_use,
    lookup=Lookup(asks=lambda held: paths_of(held, "usr/lib"), script=_LOOKUP),
)
