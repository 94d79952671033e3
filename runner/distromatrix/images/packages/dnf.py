"""dnf, of Fedora and what comes from it: whichever of dnf5, dnf 4, yum and microdnf is there.

Messages as dnf 4.14, dnf5 5.4 and microdnf 3 (libdnf's dnf-context.cpp) print them in the C
locale, and yum 3 as its yum.conf(5) and cli.py have them."""

from __future__ import annotations

import re

from distromatrix.images.packages import rpm_repos
from distromatrix.images.packages.base import Download, PackageManager, unique
from distromatrix.images.packages.lookup import Lookup, capabilities_of

_NOT_FOUND = re.compile(
    r"^(?:error: )?(?:No match for argument: (\S+)|No package matches '([^']+)'"
    r"|No package (\S+) available\.?)",
    re.MULTILINE,
)
_METADATA = r"\S*/repodata/repomd\.xml"
_GONE = re.compile(
    rf"(Status code: 404 for {_METADATA}|(?<!\S){_METADATA}: \[Errno 14\] HTTP Error 404.*)"
)
# Of a package, too: a mirror in the middle of its update. That a key's file is not to be read
# (37), or a plugin's own repository, is no mirror's fault.
_UNREACHABLE = re.compile(
    r"(Curl error \((?!37\))\d+\): .*|Status code: \d+ for .*|Cannot download repomd\.xml.*"
    r"|\[Errno 14\] .*|Usable URL not found.*)"
)
_UNTRUSTED = re.compile(
    r"^(?:Error: )?(Public key for \S+ is not installed.*|GPG check FAILED|OpenPGP check for .*"
    r"|Couldn't read a file:// file for .*|cannot open file: .*|The GPG keys listed for the .*"
    r"|.*(?:repomd\.xml GPG signature verification error|Bad GPG signature|Bad PGP signature).*)",
    re.MULTILINE,
)
_ERROR = re.compile(
    r"^(?:Error: ?\n? ?|error: |Failed to resolve the transaction:\n|Transaction failed: )(.+)",
    re.MULTILINE,
)

# dnf 5 and 4 take the same options; microdnf knows only these two (and never asks), yum 3 has
# no weak dependencies, and would pass over a name that it does not know.
_BEGIN = """\
export LC_ALL=C
if command -v dnf5 >/dev/null; then tool=dnf5
elif command -v dnf >/dev/null; then tool=dnf
elif command -v microdnf >/dev/null; then tool=microdnf
else tool=yum; fi
case $tool in
microdnf) set -- --setopt=install_weak_deps=0 --setopt=tsflags=nodocs ;;
yum) set -- --setopt=tsflags=nodocs --setopt=skip_missing_names_on_install=0 ;;
*) set -- --setopt=install_weak_deps=0 --setopt=tsflags=nodocs --setopt=skip_if_unavailable=0 ;;
esac
"""
_REFRESH = """\
case $tool in
microdnf) ;;
yum) yum -q clean expire-cache ;;
*) set -- --refresh "$@" ;;
esac
"""
_INSTALL = """\
$tool -y "$@" install -- {packages}
$tool -q clean all >/dev/null 2>&1 || $tool clean all
rm -rf /var/cache/dnf /var/cache/libdnf5 /var/cache/yum
"""
# dnf 4 is asked by the Python that it runs on. Of the others nothing is kept.
_ASK = r"""
import dnf, sys
base = dnf.Base()
base.conf.read()
base.conf.install_weak_deps = False
base.conf.releasever = base.conf.releasever  # so None is left out of the substitutions
base.conf.substitutions.update_from_etc("/")
base.init_plugins()
base.read_all_repos()
base.configure_plugins()
base.fill_sack()
for name in sys.argv[1:]:
    base.install(name)
base.resolve()
for package in base.transaction.install_set:
    print(package.chksum[1].hex(), package.localPkg())
"""
_WANTS = rf"""{_BEGIN}
case $tool in
dnf)
dnf -y --refresh "$@" makecache >&2
$(sed -n '1s/^#! *//p' "$(command -v dnf)") - {{packages}} 2>/dev/null <<'END' || :
{_ASK.strip()}
END
;;
esac
"""
_GETS = f"""{_BEGIN}
case $tool in
dnf) dnf -y "$@" install --downloadonly -- {{packages}} ;;
esac
"""
_REST = f"""{_BEGIN}
case $tool in
dnf) ;;
*) {_REFRESH.strip()} ;;
esac
{_INSTALL}"""
# From the cache that a failed installation leaves.
_SEARCH = """\
export LC_ALL=C
if command -v dnf5 >/dev/null; then dnf5 -q -C repoquery --available --qf '%{name}\\n'
elif command -v dnf >/dev/null; then dnf -q -C repoquery --available --qf '%{name}'
elif command -v microdnf >/dev/null; then microdnf repoquery --available
else yum -q -C list available; fi
"""
# microdnf prints name-epoch:version-release.arch, yum a table whose first column is name.arch.
_EVRA = re.compile(r"-(?:\d+:)?[^-:]+-[^-]+\.[a-z]\w+$")
_ARCH = re.compile(r"\.(?:noarch|i[3-6]86|x86_64|aarch64|ppc64le|s390x|riscv64)$")


def _found(output: str) -> tuple[str, ...]:
    words = (line.split()[0] for line in output.splitlines() if line.strip())
    return unique(_ARCH.sub("", _EVRA.sub("", word)) for word in words)


# microdnf and yum cannot be asked, and install capabilities as they are.
_LOOKUP = (
    _BEGIN
    + r"""
case $tool in dnf*) $tool -y --refresh "$@" makecache >&2 ;; esac
look() {
number=$1; shift
for one; do
case $tool in
dnf*) $tool -q repoquery --available --qf '%{name}\n' --whatprovides "$one" >/tmp/said ;;
*) case $one in /*) : ;; *) echo "$one" ;; esac >/tmp/said ;;
esac
if [ -s /tmp/said ]; then sed -n "s/^./$number &/p" /tmp/said; break; fi
done
}
{each}
rm -f /tmp/said
"""
)


DNF = PackageManager(
    name="dnf",
    script=_BEGIN + _REFRESH + _INSTALL,
    downloads=(Download(wants=_WANTS, gets=_GETS),),
    rest=_REST,
    not_found=_NOT_FOUND,
    faults=(("gone", _GONE), ("unreachable", _UNREACHABLE), ("untrusted", _UNTRUSTED)),
    error=_ERROR,
    search=_SEARCH,
    found=_found,
    # dnf itself puts the architecture in the place of `$basearch`.
    use=lambda mirror: rpm_repos.use(mirror, "/etc/yum.repos.d"),
    add=lambda one: rpm_repos.add(one, "/etc/yum.repos.d"),
    keys="/etc/pki/rpm-gpg/{name}",
    lookup=Lookup(asks=capabilities_of, script=_LOOKUP),
)
