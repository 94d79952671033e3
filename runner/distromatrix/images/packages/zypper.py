"""zypper, of openSUSE. Messages as zypper 1.14 prints them in the C locale."""

from __future__ import annotations

import re

from distromatrix.images.packages import rpm_repos
from distromatrix.images.packages.base import Download, PackageManager, unique
from distromatrix.images.packages.lookup import Lookup, capabilities_of

_NOT_FOUND = re.compile(
    r"^(?:No provider of|Package) '([^']+)' (?:found|not found)\.", re.MULTILINE
)
_GONE = re.compile(
    r"^ - ((?:\[.*\] )?Repository type can't be determined.*"
    r"|File '/\S*repomd\.xml' not found on medium .*)",
    re.MULTILINE,
)
_UNREACHABLE = re.compile(r"^Error message: (.*)", re.MULTILINE)
_DOWNLOAD = re.compile(
    r"((?:Download \(curl\) error for|Timeout exceeded when accessing).*)", re.MULTILINE
)
_UNTRUSTED = re.compile(
    r"(Signature verification failed .*|File '[^']+' from repository .* is unsigned"
    r"|File '[^']+' .*signed with (?:an )?unknown key.*)"
)
_ERROR = re.compile(
    r"^(?:Error|(?:\d+ )?Problem): (?:\d+: )?(?:Detailed information:\s*- )?(.*)"
    r"|^(Problem occurred .*)",
    re.MULTILINE,
)

# zypper(8), EXIT CODES: 100 to 102 only inform, 103 wants to be run again as it has updated
# itself, 107 says that the script of a package failed, which is installed all the same.
_BEGIN = "export LC_ALL=C ZYPP_LOCK_TIMEOUT=60\n"
_REFRESH = "zypper --non-interactive refresh\n"
_OPTIONS = "--no-recommends --auto-agree-with-licenses -- {packages}"
_ADD = f"""\
add() {{
status=0
zypper --non-interactive install "$@" {_OPTIONS} ||
status=$?
}}
"""
_OR_FAIL = """\
case $status in 0 | 100 | 101 | 102 | 103 | 107) ;; *) exit $status ;; esac
"""
_INSTALL = f"""\
{_ADD}add
if [ $status = 103 ]; then add; fi
{_OR_FAIL}zypper --non-interactive clean --all
rm -rf /var/cache/zypp/packages /var/cache/zypp/raw /var/cache/zypp/solv
"""
# `kept FOLDER INDEX…`: of the archives whose names are in /tmp/wanted, those that primary indexes
# have, as `DIGEST PATH`, below FOLDER. An index that nothing there unpacks has none.
_KEPT = r"""
kept() {
folder=$1; shift
for index in "$@"; do
case $index in *.gz) set -- gzip ;; *.zst) set -- zstd -q ;; *.xz) set -- xz ;; *) continue ;; esac
"$@" -dc "$index" 2>/dev/null |
grep -oE '<checksum type="sha256" pkgid="YES">[0-9a-f]+|<location [^>]*href="[^"]+"' |
awk -v folder="$folder" -F '[">]' '
BEGIN { while ((getline line <"/tmp/wanted") > 0) wanted[line] = 1 }
/^<checksum/ { sum = $NF; next }
{ path = $(NF - 1); name = path; sub(".*/", "", name)
if (name in wanted) print sum, folder "/" path }'
done
}
"""
# A try says only what is to be installed; an index, which was checked when it was refreshed, what
# that is. A file's name has no epoch.
_WANTS = rf"""{_BEGIN}{_REFRESH.strip()} >&2
zypper --non-interactive --no-refresh --xmlout install --dry-run {_OPTIONS} 2>/dev/null |
sed 's/<solvable /\n&/g' | sed -n 's/^<solvable type="package" name="\([^"]*\)" '\
'edition="\([0-9]*:\)\{{0,1\}}\([^"]*\)" arch="\([^"]*\)".*/\1-\3.\4.rpm/p' >/tmp/wanted
{_KEPT.strip()}
for folder in /var/cache/zypp/raw/*; do
kept /var/cache/zypp/packages/"${{folder##*/}}" "$folder"/repodata/*primary.xml.*
done
rm /tmp/wanted
"""


def _found(output: str) -> tuple[str, ...]:
    """It prints a table: status | name | summary | type."""
    rows = (line.split("|") for line in output.splitlines())
    names = (row[1].strip() for row in rows if len(row) >= 4)
    return unique(name for name in names if name and name != "Name")


# Of files it knows but programs.
_LOOKUP = (
    _BEGIN
    + _REFRESH.replace("\n", " >&2\n")
    + r"""
look() {
number=$1; shift
for one; do
zypper --non-interactive --no-refresh --xmlout search -t package --provides --match-exact "$one" \
2>/dev/null | sed -n "s/^<solvable .*name=\"\([^\"]*\)\".*/$number \1/p" >/tmp/said
if [ -s /tmp/said ]; then cat /tmp/said; break; fi
done
}
{each}
rm -f /tmp/said
"""
)


# Whether documentation is installed is the image's to say (rpm.install.excludedocs in its
# zypp.conf): zypper has no option for it.
ZYPPER = PackageManager(
    name="zypper",
    script=_BEGIN + _REFRESH + _INSTALL,
    downloads=(Download(wants=_WANTS, gets=f"{_BEGIN}{_ADD}add --download-only\n{_OR_FAIL}"),),
    rest=_BEGIN + _INSTALL,
    not_found=_NOT_FOUND,
    faults=(
        ("gone", _GONE),
        ("untrusted", _UNTRUSTED),
        ("unreachable", _UNREACHABLE),
        ("unreachable", _DOWNLOAD),
    ),
    error=_ERROR,
    search="export LC_ALL=C\nzypper --non-interactive --no-refresh -q search -t package\n",
    found=_found,
    # libzypp, too, puts the architecture in the place of `$basearch`. Services would bring their
    # repositories back.
    use=lambda mirror: rpm_repos.use(
        mirror, "/etc/zypp/repos.d", "type=rpm-md", services="/etc/zypp/services.d/*.service"
    ),
    add=lambda one: rpm_repos.add(one, "/etc/zypp/repos.d", "type=rpm-md"),
    keys="/etc/pki/rpm-gpg/{name}",
    lookup=Lookup(asks=capabilities_of, script=_LOOKUP),
)
