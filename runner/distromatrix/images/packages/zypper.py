"""zypper, of openSUSE. Messages as zypper 1.14 prints them in the C locale."""

from __future__ import annotations

import re

from distromatrix.images.packages import rpm_repos
from distromatrix.images.packages.base import PackageManager, unique

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
_INSTALL = """\
export LC_ALL=C ZYPP_LOCK_TIMEOUT=60
zypper --non-interactive refresh
add() {
status=0
zypper --non-interactive install --no-recommends --auto-agree-with-licenses -- {packages} ||
status=$?
}
add
if [ $status = 103 ]; then add; fi
case $status in 0 | 100 | 101 | 102 | 103 | 107) ;; *) exit $status ;; esac
zypper --non-interactive clean --all
rm -rf /var/cache/zypp/packages /var/cache/zypp/raw /var/cache/zypp/solv
"""


def _found(output: str) -> tuple[str, ...]:
    """It prints a table: status | name | summary | type."""
    rows = (line.split("|") for line in output.splitlines())
    names = (row[1].strip() for row in rows if len(row) >= 4)
    return unique(name for name in names if name and name != "Name")


# Whether documentation is installed is the image's to say (rpm.install.excludedocs in its
# zypp.conf): zypper has no option for it.
ZYPPER = PackageManager(
    name="zypper",
    script=_INSTALL,
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
)
