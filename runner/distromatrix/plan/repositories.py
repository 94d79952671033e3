"""Which repositories a cell has beside those of its image."""

from __future__ import annotations

from collections.abc import Iterable

from distromatrix.errors import InputError
from distromatrix.model import Distro, Repository

ADDING = ("apt", "dnf", "zypper", "apk")  # the package managers to which one can be added


def repositories_of(wanted: Iterable[str | Repository], distro: Distro) -> tuple[Repository, ...]:
    """Those that are wanted, each once: first what the distro knows by name, and of names that it
    does not know nothing, then others. Raises InputError where its package manager cannot have
    one."""
    every = tuple(dict.fromkeys(wanted))
    known = distro.extra_repositories
    named = [known[one] for one in every if isinstance(one, str) and one in known]
    own = [one for one in every if isinstance(one, Repository)]
    for one in own:
        if distro.package_manager not in ADDING:
            raise InputError(
                f"{distro.name}: the repository {one.url} cannot be added, as its packages are "
                f"installed by {distro.package_manager} (only {', '.join(ADDING)} take one): name "
                "the distros that it is for by a rule, with `repositories`"
            )
        if distro.package_manager == "apk" and not one.key:
            raise InputError(
                f"{distro.name}: the repository {one.url} is not signed, and apk can only trust "
                "all of its repositories or none: sign it, and name its `key`"
            )
    return (*named, *own)
