"""apk, of Alpine. Messages as apk-tools 2.14 prints them."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from base64 import urlsafe_b64encode
from typing import IO

from distromatrix.images.packages.base import (
    Addition,
    Download,
    PackageManager,
    append,
    sha256_of,
    write,
)
from distromatrix.images.packages.lookup import Lookup, modules_of
from distromatrix.plan.held import Held

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


_CACHE = "/var/cache/apk"
# What `add --simulate` says it would install, found in the indexes that `update` has checked and
# left. Packages are called there by a SHA-1 in base64, of which their cached file's name has the
# first 32 bits. https://wiki.alpinelinux.org/wiki/Apk_spec
_WANTS = rf"""
apk update --no-progress >&2
apk add --simulate --no-progress -- {{packages}} 2>/dev/null | sed -n \
-e 's/^([^)]*) Installing \([^ @]*\)[^ ]* (\([^ ]*\))$/\1 \2/p' \
-e 's/^([^)]*) [UD][a-z]*grading \([^ @]*\)[^ ]* ([^ ]* -> \([^ ]*\))$/\1 \2/p' >/tmp/wanted
for index in {_CACHE}/APKINDEX.*.tar.gz; do
if [ -f "$index" ]; then tar -xzOf "$index" APKINDEX; echo; fi
done | awk '
BEGIN {{ digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
while ((getline line <"/tmp/wanted") > 0) wanted[line] = 1 }}
/^[CPV]:/ {{ said[substr($0, 1, 1)] = substr($0, 3) }}
/^$/ {{ sum = said["C"]; package = said["P"] " " said["V"]
if (package in wanted && sum ~ /^Q1/) {{
number = 0
for (at = 3; at < 9; at++) number = 64 * number + index(digits, substr(sum, at, 1)) - 1
number = int(number / 16)
name = sprintf("%s-%s.%04x%04x.apk", said["P"], said["V"], number / 65536, number % 65536)
gsub("/", "_", sum); gsub("[+]", "-", sum)
print sum, "{_CACHE}/" name }} }}'
rm /tmp/wanted
"""
_MOST = 16 * 1024**2  # bytes of a package's control data, packed or not


def _digest(file: IO[bytes]) -> str:
    """What an index calls a package's file, in base64url; '' for what is none. It is up to three
    streams of gzip: signatures, which do not count; control data, whose SHA-1 the index has, and
    which has the SHA-256 of the last, the package's files."""
    packed = file.read(_MOST)
    try:
        control, after = _unpacked(packed)
        if control.startswith(b".SIGN."):
            packed = after
            control, after = _unpacked(packed)
    except (zlib.error, EOFError):
        return ""
    found = re.search(rb"^datahash = ([0-9a-f]{64})$", control, re.MULTILINE)
    file.seek(-len(after), os.SEEK_CUR)
    if found is None or sha256_of(file) != found[1].decode():
        return ""
    sha1 = hashlib.sha1(packed[: len(packed) - len(after)], usedforsecurity=False).digest()
    return f"Q1{urlsafe_b64encode(sha1).decode()}"


def _unpacked(packed: bytes) -> tuple[bytes, bytes]:
    """What the first stream of gzip holds, and what follows it."""
    stream = zlib.decompressobj(31)
    content = stream.decompress(packed, _MOST)
    if not stream.eof:
        raise EOFError
    return content, stream.unused_data


# Where the distribution's own packages come from: the first line, less a release and a repository.
_BASE = "base=$(sed -n 's,^\\([^#@ ].*\\)/[^/]*/[^/]*$,\\1,p' /etc/apk/repositories | head -n 1)\n"


def _add(one: Addition) -> str:
    """apk adds the architecture by itself."""
    own = one.repository
    urls = one.urls("") if own.url else [f"$base/{path}" for path in own.paths]
    begin = "" if own.url else _BASE
    return begin + append("/etc/apk/repositories", *urls)


# Its index knows modules of pkg-config's and programs, by names that it installs.
_LOOKUP = """
apk update --no-progress >&2
look() {
number=$1; shift
for one; do
if apk add --simulate --no-progress -- "$one" >/dev/null 2>&1; then echo "$number $one"; break; fi
done
}
{each}
rm -rf /var/cache/apk/*
"""


def _asks(held: Held) -> tuple[str, ...]:
    if held.kind == "command":
        return (f"cmd:{held.name}",)
    return tuple(f"pc:{module}" for module in modules_of(held))


APK = PackageManager(
    name="apk",
    script="apk add --no-cache --no-progress -- {packages}\n",
    downloads=(
        Download(
            wants=_WANTS,
            gets=f"apk add --cache-dir {_CACHE} --no-progress -- {{packages}}\n",
        ),
    ),
    rest=f"rm -rf {_CACHE}/*\n",
    digest=_digest,
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
    add=_add,
    keys="/etc/apk/keys/{file}",
    lookup=Lookup(asks=_asks, script=_LOOKUP),
)
