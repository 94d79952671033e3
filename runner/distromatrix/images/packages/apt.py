"""apt, of Debian and what comes from it. Messages as apt 2.2 to 3.x print them in the C locale."""

from __future__ import annotations

import re

from distromatrix.images.packages.base import Addition, Download, Mirror, PackageManager, write
from distromatrix.images.packages.lookup import Lookup, escaped, modules_of, paths_of
from distromatrix.plan.held import Held

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


# Where the distribution's own packages come from: the first source.
_URI = (
    "uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -n "
    "-e 's/^URIs: *\\([^ ]*\\).*/\\1/p' "
    "-e 's/^deb *\\(\\[[^]]*\\]\\)\\{0,1\\} *\\([^ ]*\\) .*/\\2/p' | head -n 1)\n"
)


def _add(one: Addition) -> str:
    """A flat repository, which has no components, ends with a slash (sources.list(5))."""
    own = one.repository
    trusted = f"Signed-By: {one.key}" if one.key else "Trusted: yes"
    entries = []
    for path in own.paths or ("./",):
        suite, _, components = path.partition(" ")
        entries += ["Types: deb", f"URIs: {own.url or '$uri'}", f"Suites: {suite}"]
        if not suite.endswith("/"):
            entries += [f"Components: {components or 'main'}"]
        entries += [trusted if own.url else "${keyring:+Signed-By: $keyring}", ""]
    begin = "" if own.url else _KEYRING + _URI
    return begin + write(f"/etc/apt/sources.list.d/{one.name}.sources", *entries)


_BEGIN = "export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n"
_UPDATE = f"{_APT} -o Acquire::GzipIndexes=false update >&2"
_INSTALL = f"{_APT} --no-install-recommends install"
_REST = f"""\
{_BEGIN}{_NO_SERVICES}{_INSTALL} -- {{packages}}
apt-get clean
rm -rf /var/lib/apt/lists/*
"""
# apt takes an index that lies there for what its Release file says, and an archive of the right
# size for the right one, without a look at what is in them. So what is wanted of indexes is what
# the Release files say, which are fetched alone and have been checked by then; and of archives,
# what these indexes say.
_NO_INDEXES = " ".join(
    f"-o Acquire::IndexTargets::deb::{kind}::DefaultEnabled=false"
    for kind in ("Packages", "Translations")
)
_INDEXES = Download(
    wants=f"{_BEGIN}{_UPDATE} {_NO_INDEXES}\n"
    + r"""
apt-get -o Acquire::GzipIndexes=false indextargets --no-release-info \
--format '$(METAKEY) $(FILENAME)' | awk '
{ key = $1; flat = key; gsub("/", "_", flat); at = substr($2, 1, length($2) - length(flat))
if (!(at in seen)) { seen[at] = 1; inside = 0
while ((getline line <(at "InRelease")) > 0 || (getline line <(at "Release")) > 0) {
if (line !~ /^ /) inside = (line ~ /^SHA256:/)
else if (inside) { split(line, part, " "); sum[at part[3]] = part[1] } } }
if ((at key) in sum) print sum[at key], $2 }'
""",
    gets=f"{_BEGIN}{_UPDATE}\n",
)
_ARCHIVES = Download(
    wants=f"{_BEGIN}uris=$({_INSTALL} --print-uris -o Acquire::ForceHash=SHA256 -- {{packages}})\n"
    + r"""
eval "$(apt-config shell folder Dir::Cache::archives/d)"
printf '%s\n' "$uris" |
sed -n "s|^'[^']*' \([^/ ]*\) [0-9]* SHA256:\([0-9a-f]*\)\$|\2 $folder\1|p"
""",
    gets=f"{_BEGIN}{_INSTALL} --download-only -- {{packages}}\n",
)
# Which package has a file is said by lists of their own, which apt itself fetches and checks; that
# for all architectures is large. With `$(COMPONENT)` as in Debian, without as in Ubuntu. A mirror
# without them is no reason to stop: there, packages' names have to do.
_TARGETS = " ".join(
    f"-o 'Acquire::IndexTargets::deb::{target}::{key}='{value}"
    for target, more in (
        ("held", {"MetaKey": "'$(COMPONENT)/Contents-'$1"}),
        ("held-old", {"MetaKey": "Contents-$1", "Fallback-Of": "held", "Identifier": "held"}),
    )
    for key, value in {
        "ShortDescription": "Contents-$1",
        "Description": "Contents-$1",
        "PDiffs": "false",
        "KeepCompressed": "true",
        **more,
    }.items()
)
_LISTS = "/tmp/distromatrix-lists"  # noqa: S108 - in a machine that is this build's alone
_LOOKUP = rf"""
{_BEGIN}
contents() {{
rm -rf {_LISTS}; mkdir -p {_LISTS}/partial
{_APT} -o Dir::State::lists={_LISTS} {_NO_INDEXES} {_TARGETS} update >&2 || return 1
for list in {_LISTS}/*Contents-*; do
if ! [ -f "$list" ]; then return 1; fi
/usr/lib/apt/apt-helper cat-file "$list" | grep -E '^('{{all}}')[[:space:]]' >>/tmp/held || :
done
rm -rf {_LISTS}
}}
look() {{
number=$1; shift
for one; do
grep -E "^$one[[:space:]]" /tmp/held | sed "s/.*[[:space:]]//; s|[^,]*/||g; s/^/$number /" || :
done
}}
each() {{
{{each}}
}}
: >/tmp/held
if contents "$(dpkg --print-architecture)"; then
each >/tmp/said
if [ "$(cut -d ' ' -f 1 /tmp/said | sort -u | wc -l)" -lt {{count}} ] && contents all; then
each >/tmp/said
fi
else
rm -rf {_LISTS}
{_UPDATE}
apt-cache pkgnames | sed 's/.*/package:& &/' >/tmp/held
each >/tmp/said
if [ -s /tmp/said ]; then echo guessed; fi
fi
cat /tmp/said
rm /tmp/held /tmp/said
"""


def _asks(held: Held) -> tuple[str, ...]:
    """Files, and names of packages."""
    stem = modules_of(held)[0].lower().removeprefix("lib").rstrip("0123456789.").rstrip("-")
    name = (
        escaped(held.name) if held.kind == "command" else f"(lib)?{escaped(stem)}[-0-9.]*[a-z]?-dev"
    )
    return (*paths_of(held, "(usr/)?lib(/[^/ ]*-gnu[^/ ]*)?"), f"package:{name}")


APT = PackageManager(
    name="apt",
    script=_REST.replace(_INSTALL, f"{_APT} update\n{_INSTALL}"),
    downloads=(_INDEXES, _ARCHIVES),
    rest=_REST,
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
    add=_add,
    keys="/etc/apt/keyrings/{name}.asc",
    lookup=Lookup(asks=_asks, script=_LOOKUP),
)
