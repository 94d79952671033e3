"""Packages that the product has built (`packages: [./dist/*.deb]`): installed in each cell, with
the product, as its users would install them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distromatrix.errors import InputError
from distromatrix.model import Distro

_LIST = "/tmp/distromatrix-files-before"  # noqa: S108 - in a machine that is the cell's alone
# Files of the system, which packages bring and remove.
_FILES = """\
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run \\
-o -path /distromatrix -o -path /var/cache -o -path /var/log -o -path /var/lib/apt \\) -prune \\
-o -print | sort"""
_BEFORE = f"if command -v find >/dev/null; then {_FILES} >{_LIST}; fi\n"
_AFTER = f"""\
if [ -s {_LIST} ]; then
{_FILES} | comm -13 {_LIST} - >{_LIST}-now
if [ -s {_LIST}-now ]; then
echo "what stayed behind ($(wc -l <{_LIST}-now) paths):"; head -n 100 {_LIST}-now
else echo 'nothing stayed behind'; fi
fi
"""


class _How(NamedTuple):
    """What a package manager does: `ends` of its files' names; `names` prints the packages in
    "$@"; `refresh` fetches lists; `archive` installs what the distribution has of "$@", `files`
    the files "$@"; `remove` takes the packages away, with settings and what only they needed."""

    ends: tuple[str, ...]
    names: str
    refresh: str
    archive: str
    files: str
    remove: str


_APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0"
_RPMS = 'rpm -qp --qf "%{NAME}\\n" "$@"'
_DNF = (
    "tool=yum; for one in dnf5 dnf microdnf; do\n"
    'if command -v "$one" >/dev/null; then tool=$one; break; fi; done\n'
)
# zypper(8), EXIT CODES: these only inform, or say that the script of a package failed.
_ZYPPER = (
    'tool() { zypper --non-interactive "$@" || '
    "case $? in 100 | 101 | 102 | 103) ;; *) return 1 ;; esac; }\n"
)
_HOW = {
    "apt": _How(
        (".deb",),
        'for one; do dpkg-deb -f "$one" Package; done',
        f"{_APT} -o APT::Update::Error-Mode=any update",
        f'{_APT} install "$@"',
        f'{_APT} install "$@"',
        f'{_APT} purge "$@"\n{_APT} autoremove --purge',
    ),
    "dnf": _How(
        (".rpm",),
        _RPMS,
        "",
        f'{_DNF}$tool -y install "$@"',
        f'{_DNF}$tool -y install "$@"',
        f'{_DNF}$tool -y remove "$@"',
    ),
    "zypper": _How(
        (".rpm",),
        _RPMS,
        "zypper --non-interactive refresh",
        f'{_ZYPPER}tool install "$@"',
        f'{_ZYPPER}tool install --allow-unsigned-rpm "$@"',
        f'{_ZYPPER}tool remove --clean-deps "$@"',
    ),
    "apk": _How(
        (".apk",),
        'for one; do tar -xzOf "$one" .PKGINFO 2>/dev/null | sed -n "s/^pkgname = //p"; done',
        "apk update",
        'apk add "$@"',
        'apk add --allow-untrusted "$@"',
        'apk del --purge "$@"',
    ),
    "pacman": _How(
        (".pkg.tar.zst", ".pkg.tar.xz", ".pkg.tar.gz"),
        'pacman -Qqp "$@"',
        "pacman -Sy",
        'pacman -S --noconfirm "$@"',
        'pacman -U --noconfirm "$@"',
        'pacman -Rns --noconfirm "$@"',
    ),
}
ENDS = tuple(dict.fromkeys(end for how in _HOW.values() for end in how.ends))


class Installing(NamedTuple):
    """What comes of a cell's package files: `setup` installs them, `removal`, after its `run`,
    takes them away ('' where that is not asked for)."""

    globs: tuple[str, ...]
    setup: str
    removal: str


def is_package_file(name: str) -> bool:
    """Whether a suite's package is a file of the product's, and no name."""
    return name.startswith("./")


def installing(
    cell: str,
    names: Sequence[str],
    distro: Distro,
    *,
    user: str,
    network: bool,
    upgrade: bool,
    remove: bool,
) -> Installing | None:
    """How a cell installs the package files among `names`; None where there are none. Raises
    InputError where it cannot."""
    globs = [name for name in dict.fromkeys(names) if is_package_file(name)]
    if not globs:
        if upgrade or remove:
            key = "upgrade" if upgrade else "remove"
            raise InputError(
                f"{cell}: `{key}: true` is about package files, and `packages` names none: add "
                "one such as `./dist/*.deb`"
            )
        return None
    manager = distro.package_manager
    how = _HOW.get(manager)
    mine = [glob for glob in globs if how and glob.endswith(how.ends)]
    if how is None or not mine:
        raise InputError(
            f"{cell}: none of {', '.join(globs)} is for {manager}: leave {distro.name} out "
            "(`distros:` of the suite), or name a package file for it"
        )
    if user not in ("root", "0:0"):
        raise InputError(
            f"{cell}: package files are installed by root, and the suite's user is {user}: "
            "leave `user` out, and become that user in `run`"
        )
    files = f"set -- {' '.join(mine)}\n"
    lines = [_BEFORE if remove else "", "set -e\n", files]
    lines += [f"{how.refresh}\n" if how.refresh and network else ""]
    if upgrade:
        lines += [f'set -- $({how.names})\necho "installing the distribution\'s own $*"\n']
        lines += [f"{how.archive}\n{files}"]
    lines += [f'echo "installing $*"\n{how.files}\n']
    removal = f'set -e\n{files}set -- $({how.names})\necho "removing $*"\n{how.remove}\n{_AFTER}'
    return Installing(tuple(g.removeprefix("./") for g in mine), "".join(lines), removal * remove)
