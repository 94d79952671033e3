"""The keys that a distribution's signatures are checked with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from distromatrix.errors import ImageError
from distromatrix.load.shapes.bootstrap_options import KEYS, NO_SIGNATURES
from distromatrix.model import Bootstrap

_DISTRIBUTION_GPG_KEYS = Path("/usr/share/distribution-gpg-keys")


def find_keys(
    what: str, source: Bootstrap, beside: Path, folders: Iterable[str]
) -> tuple[Path, ...]:
    """The files that `--keys=NAME` in the source's options name: absolute paths, or paths
    (globs) in `beside` (the folder of the distro's file), in that of the package
    distribution-gpg-keys, or in `folders`. None where `--no-signatures` switches the check
    off. Raises ImageError where there is nothing to check with."""
    if NO_SIGNATURES in source.options:
        return ()
    names = [o.removeprefix(KEYS) for o in source.options if o.startswith(KEYS)]
    if not names:
        raise ImageError(
            f"{what}: its signatures cannot be checked: name the distribution's keys in the "
            f"bootstrap's options, `{KEYS}FILE`, or switch the check off with `{NO_SIGNATURES}`"
        )
    places = (beside, _DISTRIBUTION_GPG_KEYS, *map(Path, folders))
    found: dict[Path, None] = {}
    for name in names:
        here = next((files for place in places if (files := matches(place, name))), None)
        if here is None:
            looked = "" if Path(name).is_absolute() else f" in {', '.join(map(str, places))}"
            raise ImageError(
                f"{what}: its signatures cannot be checked: there is no {name}{looked}; install "
                f"distribution-gpg-keys (or the distribution's keyring), name a file with "
                f"`{KEYS}FILE` in the bootstrap's options, or switch the check off with "
                f"`{NO_SIGNATURES}`"
            )
        found |= dict.fromkeys(here)
    return tuple(found)


def matches(place: Path, name: str) -> tuple[Path, ...]:
    """The files that a name (a path or a glob) means in a folder."""
    if Path(name).is_absolute():
        place, name = Path("/"), name.lstrip("/")
    return tuple(sorted(path for path in place.glob(name) if path.is_file()))
