"""What a suite of Debian's tests runs, in the distro's own shell.

`prepare` builds the package once a distro, keeps the built tree and the packages in a repository,
and lets the build dependencies go. `setup` puts the tests there as they are now, and installs what
the test's `Depends` say, and no more; `run` runs the test as autopkgtest does.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_PLACE = "/usr/src/autopkgtest"
_USER = "tester"

# A package that does not build is the product's fault, and `prepare` could only tell it as one of
# the infrastructure, or keep it: so each cell's `setup` builds it again, where it may succeed (a
# guest of its own kernel).
_PREPARE = f"""\
export DEBIAN_FRONTEND=noninteractive
id {_USER} >/dev/null 2>&1 || useradd -m -s /bin/bash {_USER}
apt-get -qq update
mkdir -p {_PLACE}
cat >{_PLACE}/build <<'BUILD'
set -e
rm -rf {_PLACE}/tree
cp -a PACKAGE {_PLACE}/tree
cd {_PLACE}/tree
chmod -R a+rX .
chown -R {_USER} {_PLACE}
runuser -u {_USER} -- env HOME=/home/{_USER} USER={_USER} DEB_BUILD_OPTIONS="parallel=$(nproc)" \
  sh -ec 'dpkg-buildpackage -us -uc -b; dpkg-source --before-build .'
cd ..
dpkg-scanpackages --multiversion . >Packages 2>/dev/null
echo 'deb [trusted=yes] file:{_PLACE} ./' >/etc/apt/sources.list.d/autopkgtest.list
printf 'Package: *\\nPin: origin ""\\nPin-Priority: 1002\\n' >/etc/apt/preferences.d/autopkgtest
apt-get -qq -y --purge autoremove
apt-get clean
BUILD
apt-get -qq -y --no-install-recommends -o APT::Get::Build-Dep-Automatic=true build-dep ./PACKAGE
apt-get -qq -y --no-install-recommends install fakeroot
apt-mark auto fakeroot >/dev/null
sh {_PLACE}/build || touch {_PLACE}/failed
"""  # noqa: S608 - this is shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """A test of a stanza. `package`: the folder with its `debian`, in the product; `file`: below
    that; or a `command`; `depends`: as apt-get takes them."""

    package: str
    file: str
    command: str
    depends: str
    restrictions: frozenset[str]
    architectures: tuple[str, ...]

    @property
    def skips(self) -> bool:
        """Whether `setup` may find that there is nothing to test."""
        return bool(self.architectures) or "skip-not-installable" in self.restrictions


def keys_of(test: Test) -> dict[str, Any]:
    """The suite's keys."""
    has = test.restrictions.__contains__
    needs = ["init"] if has("isolation-container") or has("isolation-machine") else []
    needs += ["own-kernel"] if has("isolation-machine") else []
    needs += ["setuid"] if has("needs-sudo") else []
    below = "" if test.package == "." else f"{test.package}/"
    keys: dict[str, Any] = {
        "user": "root",
        "network": "true",
        "env": {"LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        "prepare": {
            "files": [f"{below}**", f"!{below}debian/tests/**"],
            "run": _PREPARE.replace("PACKAGE", shlex.quote(test.package)),
        },
        "setup": "\n".join(_setup(test)) + "\n",
        "run": "\n".join(_run(test)) + "\n",
    }
    if needs:
        keys["needs"] = needs
    if test.skips or has("skippable"):
        keys["skip_status"] = "77"
    if has("flaky"):
        keys |= {"gating": "false", "reason": "flaky, says debian/tests/control"}
    return keys


def _setup(test: Test) -> Iterator[str]:
    if test.architectures:
        yield _elsewhere(test.architectures)
    yield f"if [ -e {_PLACE}/failed ]; then sh {_PLACE}/build; else"
    yield f"  rm -rf {_PLACE}/tree/debian/tests"
    yield f"  cp -a {shlex.quote(test.package)}/debian/tests {_PLACE}/tree/debian"
    yield f"  chmod -R a+rX {_PLACE}/tree/debian/tests"
    yield f"  chown -R {_USER} {_PLACE}/tree/debian/tests"
    yield "fi"
    yield f"cd {_PLACE}"
    if test.restrictions & {"isolation-container", "isolation-machine"}:
        yield "rm -f /usr/sbin/policy-rc.d"  # by which images start no service
    if test.depends:
        yield "apt-get -qq update"
        install = f"apt-get -qq -y --no-install-recommends satisfy {shlex.quote(test.depends)}"
        if "skip-not-installable" in test.restrictions:
            install += " ||\n  echo 'its dependencies cannot be installed' >skip"
        yield install
    if "needs-sudo" in test.restrictions:
        yield "apt-get -qq -y --no-install-recommends install sudo"
        yield f"usermod -a -G sudo {_USER}"
        yield f"echo '{_USER} ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/autopkgtest"


def _run(test: Test) -> Iterator[str]:
    has = test.restrictions.__contains__
    yield f"cd {_PLACE}/tree"
    if test.skips:
        yield "if [ -e ../skip ]; then cat ../skip; exit 77; fi"
    yield 'export AUTOPKGTEST_TMP=/tmp/autopkgtest AUTOPKGTEST_ARTIFACTS="$DISTROMATRIX_ARTIFACTS"'
    yield 'export ADTTMP=/tmp/autopkgtest ADT_ARTIFACTS="$DISTROMATRIX_ARTIFACTS"'
    yield 'export DEB_BUILD_OPTIONS="parallel=$(nproc)"'
    if has("needs-root"):
        yield f"export AUTOPKGTEST_NORMAL_USER={_USER} ADT_NORMAL_USER={_USER}"
        yield "mkdir /tmp/autopkgtest"
        user = ""
    else:
        yield f"install -d -o {_USER} /tmp/autopkgtest"
        yield 'chmod 1777 "$DISTROMATRIX_ARTIFACTS"'
        path = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
        user = f"runuser -u {_USER} -- env HOME=/home/{_USER} USER={_USER} PATH={path} "
    if test.command:
        command = f"bash -ec {shlex.quote(test.command)}"
    else:
        command = f'"$PWD"/{shlex.quote(test.file)}'
        yield f"chmod +x {command}"
    quiet = not has("allow-stderr")
    yield "status=0"
    yield f"{user}{command}{' 2>/tmp/stderr' * quiet} || status=$?"
    if quiet:
        yield "cat /tmp/stderr >&2"
        yield "if [ $status = 0 ] && [ -s /tmp/stderr ]; then"
        yield "  echo 'it writes to stderr, and has no allow-stderr' >&2; status=1"
        yield "fi"
    if test.skips and not has("skippable"):
        yield "[ $status != 77 ] || status=1"
    yield "exit $status"


def _elsewhere(architectures: tuple[str, ...]) -> str:
    """Ends `setup` where the machine's architecture is not meant."""
    names = "|".join(filter(None, (_pattern(one.lstrip("!")) for one in architectures))) or "none"
    said = shlex.quote("Architecture: " + " ".join(architectures))
    skip = f"echo {said} >{_PLACE}/skip; exit ;;"
    cases = f"{names}) {skip}" if architectures[0][0] == "!" else f"{names}) ;;\n  *) {skip}"
    return f"case $(dpkg --print-architecture) in\n  {cases}\nesac"


def _pattern(architecture: str) -> str:
    """What the shell matches a machine's architecture by; '' for those of other kernels.
    https://www.debian.org/doc/debian-policy/ch-customized-programs.html#architecture-wildcards"""
    system, dash, cpu = architecture.rpartition("-")
    if not dash:
        return "*" if cpu == "any" else cpu
    if not {"any", "linux"} & set(system.split("-")):
        return ""
    return {"any": "*", "arm": "arm*"}.get(cpu, cpu)
