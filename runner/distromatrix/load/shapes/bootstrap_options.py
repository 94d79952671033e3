"""Which options a distro's file may give the tools that build images.

These tools run on the host, as root, and have options that run commands there, or that read files
of one's choice. So what may be given is listed, and all else is refused, whoever says yes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from distromatrix.model import BootstrapTool

_WORD = r"[A-Za-z0-9@._+:-]+"
_WORDS = rf"{_WORD}([ ,]{_WORD})*"
_GLOB = r"[A-Za-z0-9@._+*?/\[\]-]+"
_PATH = r"[^-,\x00-\x1f\x7f][^,\x00-\x1f\x7f]*"
# apt.conf(5): what changes neither what is run nor whom it trusts. One statement, no `;`.
_APT = (
    r"(Acquire::(Check-Valid-Until|Check-Date|Max-FutureTime|Retries|Languages|PDiffs"
    r"|ForceIPv[46]|Queue-Mode|https?::(Timeout|Pipeline-Depth|Dl-Limit))"
    r"|APT::(Install-Recommends|Install-Suggests|Default-Release))"
)
_DNF = (
    "best|deltarpm|fastestmirror|install_weak_deps|ip_resolve|max_parallel_downloads|minrate"
    "|module_platform_id|multilib_policy|retries|skip_if_unavailable|strict|throttle|timeout"
    "|tsflags"
)
# Options of ours in a bootstrap's `options`; all others are the tool's own.
KEYS = "--keys="
NO_SIGNATURES = "--no-signatures"
# By tool: each option as a regular expression, and how it is told.
_OURS = {f"{KEYS}{_PATH}": f"{KEYS}FILE", NO_SIGNATURES: NO_SIGNATURES}
_QUIET = {"--quiet": "--quiet", "--verbose": "--verbose"}
ALLOWED: Mapping[BootstrapTool, Mapping[str, str]] = {
    "mmdebstrap": {
        rf'--aptopt={_APT} ("[A-Za-z0-9._-]*"|[A-Za-z0-9._-]+)': "--aptopt=KEY VALUE of a few keys",
        rf"--dpkgopt=(path-(ex|in)clude={_GLOB}|force-unsafe-io)": "--dpkgopt=path-exclude=GLOB",
        rf"--components={_WORDS}": "--components=NAMES",
        "--variant=(essential|apt|required|minbase|buildd|important|standard|-)": "--variant=NAME",
        rf"--keyring={_PATH}": "--keyring=FILE",
        **_QUIET,
    },
    "dnf": {
        rf"--setopt=({_DNF})={_WORDS}": "--setopt=KEY=VALUE of a few keys",
        rf"--exclude={_WORDS}": "--exclude=NAMES",
        "--(allowerasing|nobest|nodocs|skip-broken)": "--nobest",
        **_OURS,
        **_QUIET,
    },
    "zypper": {**_OURS, **_QUIET},
    "pacman": {
        r"--(ignore|assume-installed)=[A-Za-z0-9@._+:,=-]+": "--ignore=NAMES",
        "--(needed|noscriptlet|disable-download-timeout)": "--needed",
        **_OURS,
        **_QUIET,
    },
    "apk": {
        r"--(timeout|wait|cache-max-age)=[0-9]{1,6}": "--timeout=N",
        "--(no-scripts|no-cache|no-commit-hooks|force-overwrite)": "--no-scripts",
        **_OURS,
        **_QUIET,
    },
}
# A file or a URL in the place of a package: nobody signed it, and its scripts are run on this host.
_FILE = re.compile(r".*(\.(rpm|drpm|deb|ddeb|udeb|dsc|changes|apk|zst|xz)|:/.*)", re.IGNORECASE)


def refused_options(tool: BootstrapTool, options: Iterable[str]) -> list[str]:
    """Those that a distro's file may not give the tool."""
    known = [re.compile(one) for one in ALLOWED[tool]]
    return [
        option
        for option in options
        if not any(one.fullmatch(option) for one in known) or ".." in option
    ]


def refused_packages(packages: Iterable[str]) -> list[str]:
    """Those that are no packages of the distribution's."""
    return [name for name in packages if _FILE.fullmatch(name) or name.startswith("-")]
