"""The files that a bootstrap's options name keys in: the host's own, or others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from distromatrix.load.shapes.bootstrap_options import KEYS
from distromatrix.model import Bootstrap

_NAMED = (KEYS, "--keyring=")
# Where distributions' packages put what everybody may know.
_HOSTS_OWN = ("/usr/share/distribution-gpg-keys", "/usr/share/keyrings")


def foreign_keys(source: Bootstrap, beside: Path) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """The options that name keys which do not lie where the host has its distributions' own, each
    with these files. `beside`: the folder of the distro's file."""
    options = [option for option in source.options if option.startswith(_NAMED)]
    if not options:
        return
    from distromatrix.images.base.bootstrap import TOOLS
    from distromatrix.images.base.bootstrap.keys import matches

    places = (*_HOSTS_OWN, *TOOLS[source.tool].key_folders)
    for option in options:
        name = option.partition("=")[2]
        files = [file.resolve() for file in matches(beside, name)]
        if name.startswith("/") and (folder := Path(name)).is_dir():
            files += sorted(file.resolve() for file in folder.iterdir() if file.is_file())
        foreign = tuple(f for f in files if not any(f.is_relative_to(place) for place in places))
        if foreign:
            yield option, foreign
