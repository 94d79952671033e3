"""What a run without network would miss: all of it, in one list."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from contextlib import suppress

from distromatrix.errors import ImageError
from distromatrix.images.images import Images
from distromatrix.images.layer.hostnet import Handed
from distromatrix.images.layer.layers import layer_inputs
from distromatrix.images.layer.recipe import ProductFiles
from distromatrix.load.lock import named
from distromatrix.model import Cell, Distro, Plan
from distromatrix.wording import some_of

_SHOWN = 4  # cells named for one missing image


def missing(
    images: Images, plan: Plan, cells: Iterable[Cell], files: ProductFiles, handed: Handed
) -> str:
    """What of those cells' images is not in the engine's store, as a text of several lines
    that ends with how to get it; '' where all is there. What is there and wrong is left to
    the run, which tells it of the cells it breaks."""
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(layer_inputs(cell), []).append(cell)
    lacking: dict[str, list[Cell]] = {}  # cells by distro without its base image
    lines: list[str] = []
    wanted: list[str] = []
    for group in groups.values():
        distro = plan.distro(group[0].distro)
        with suppress(ImageError):
            if images.stored_base(distro) is None:
                lacking.setdefault(distro.name, []).extend(group)
            elif images.stored(distro, group[0], files, handed) is None:
                lines.append(f"prepared layer of {_names(group)} ({_layer(group[0])})")
                wanted.append(group[0].id)
    bases = [
        f"base image of {name} ({_sources(plan.distro(name))}), for {_names(of)}"
        for name, of in lacking.items()
    ]
    if not bases and not lines:
        return ""
    count = len(bases) + len(lines)
    what = " ".join(map(shlex.quote, (*lacking, *wanted)))
    return "\n".join(
        [
            f"--offline: {count} image{'s' * (count > 1)} not in the engine's store, "
            "so nothing was started:",
            *(f"  {line}" for line in (*bases, *lines)),
            f"with a network, `distromatrix images build {what}` makes them; from a machine "
            "that has them, `distromatrix images export FILE` and here "
            "`distromatrix images import FILE`",
        ]
    )


def _names(cells: list[Cell]) -> str:
    return some_of([cell.id for cell in cells], _SHOWN)


def _layer(cell: Cell) -> str:
    parts = [f"packages {' '.join(cell.packages)}"] if cell.packages else []
    parts += ["repositories"] if cell.repositories else []
    parts += ["prepare"] if cell.prepare else []
    return ", ".join(parts) or f"user {cell.user}, certificates"


def _sources(distro: Distro) -> str:
    locked = ", locked by distros.lock" if distro.locked else ""
    return ", else ".join(" ".join(named(source)) for source in distro.image) + locked
