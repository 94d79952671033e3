"""Finding and removing what dead runs left on an engine; never a living run's, nor anybody's.

Whether a run lives, its lock says (`runs.is_alive`). Things made from another host cannot be
judged here and stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from distromatrix.engines.contract import LABEL_FOLDER, LABEL_HOST, LABEL_RUN, Engine, Leftover
from distromatrix.errors import EngineUnavailableError, InfrastructureError
from distromatrix.execute.product.chains import KEPT_FOR, forget, needed_by
from distromatrix.files.user_folders import host_name
from distromatrix.record.folder import SHELLS, RunFolder, is_alive

_BELOW = ("volume", "layer", "network", "disk", "box")  # what machines use: it goes after them
READY_BYTES = 20 * 1024**3  # of this host's disk, for what an engine keeps ready


def labels_of(folder: RunFolder) -> dict[str, str]:
    """The labels on everything that a run makes on an engine."""
    return {
        LABEL_RUN: folder.id,
        LABEL_FOLDER: str(folder.path),
        LABEL_HOST: host_name(),
    }


def find_dead(engine: Engine, *, kept_too: bool = False) -> tuple[Leftover, ...]:
    """What dead runs left, machines before the volumes they use. What was kept on purpose
    is among it only when it has expired, or when `kept_too`; of what is kept ready, also what
    was used longest ago, where all of it is more than READY_BYTES. Nothing that is in use."""
    here, now = host_name(), time.time()
    alive: dict[str, bool] = {}
    dead: list[Leftover] = []
    leftovers = engine.leftovers()
    surplus = _surplus(leftovers)
    needed: dict[str, set[str] | None] = {}
    for left in leftovers:
        if left.host != here or not left.folder:
            continue
        if left.folder not in alive:
            alive[left.folder] = is_alive(Path(left.folder))
        if left.kind == "layer":
            if left.keeper not in needed:
                needed[left.keeper] = needed_by(Path(left.keeper))
            names = needed[left.keeper]
            unnamed = names is not None and left.name not in names
            if unnamed and not left.kept and not alive[left.folder]:
                dead.append(left)
            continue
        # A shell's machine is named like a kept one so that it can be entered, no longer.
        kept = left.kept and Path(left.folder).parent.name != SHELLS
        expired = kept_too or now - left.created > KEPT_FOR or left.name in surplus
        if not alive[left.folder] and (expired or not kept):
            dead.append(left)
    return tuple(sorted(dead, key=_order))


def _surplus(leftovers: tuple[Leftover, ...]) -> set[str]:
    """The names of what there is no room for: `created` is when it was last used."""
    found, room = set(), READY_BYTES
    for left in sorted(leftovers, key=lambda left: left.created, reverse=True):
        room -= left.size
        if left.size and room < 0:
            found.add(left.name)
    return found


def _order(left: Leftover) -> bool:
    """Machines first."""
    return left.kind in _BELOW


def sweep(
    engine: Engine,
    *,
    kept_too: bool = False,
    tell: Callable[[str], None] | None = None,
    room: int | None = None,
) -> tuple[Leftover, ...]:
    """Remove what `find_dead` finds, and what is kept of products beyond `room` (bytes, if given);
    returns what was removed. The first thing that could not be
    is told after the others; where nobody listens, InfrastructureError is raised for it."""
    removed: dict[str, Leftover] = {}
    if room is not None and engine.layers is not None:
        forget(room, everything=kept_too)
    # Several times: a volume is free once the machines that stand on it are gone, and those
    # may be just now removed by somebody else.
    for pause in (0.0, 0.2, 1.0, 0.0):
        failed: InfrastructureError | None = None
        dead = find_dead(engine, kept_too=kept_too)
        for left in dead:
            try:
                engine.remove(left)
                removed[left.name] = left
            except EngineUnavailableError:
                raise
            except InfrastructureError as error:
                failed = failed or error
        if not dead:
            break
        if failed:
            time.sleep(pause)
    if failed and tell is None:
        raise failed
    if failed and tell is not None:
        tell(str(failed))
    if dead:  # an engine does not remove what others stand on
        there = {left.name for left in engine.leftovers()}
        return tuple(left for left in removed.values() if left.name not in there)
    return tuple(removed.values())


def sweep_before(engine: Engine, folder: RunFolder) -> None:
    """Remove what earlier starts of a run that is resumed left: we hold its lock, so nobody
    else uses it. What was kept on purpose stays. Raises InfrastructureError."""
    ours = [left for left in engine.leftovers() if left.folder == str(folder.path)]
    for left in sorted(ours, key=_order):
        if left.host == host_name() and not left.kept and left.kind != "layer":
            engine.remove(left)
