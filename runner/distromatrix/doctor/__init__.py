"""Looks whether this machine has all that is needed, and mends it where it can.

`examine` only looks; `render` shows what it found; `fix` mends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from distromatrix.doctor.engine import engine_checks
from distromatrix.doctor.fix import fix
from distromatrix.doctor.guests import guest_checks
from distromatrix.doctor.guests_fix import mend_guests
from distromatrix.doctor.host import Host, look_at_host
from distromatrix.doctor.model import Check
from distromatrix.doctor.reach import ask_registries, registry_check, registry_host
from distromatrix.doctor.render import render
from distromatrix.doctor.tools import other_bootstraps, tool_checks
from distromatrix.engines import open_engine as open_real_engine
from distromatrix.engines.contract import Engine
from distromatrix.load import load_distros
from distromatrix.load.settings import Settings
from distromatrix.model import Distro, Pull

__all__ = ["Check", "examine", "fix", "mend_guests", "render"]


def examine(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    host: Host | None = None,
    distros: tuple[Distro, ...] | None = None,
    open_engine: Callable[[str], Engine] = open_real_engine,
    ask_registry: Callable[[str], str] | None = None,
    cache: Path | None = None,
    guests: bool = False,
) -> tuple[Check, ...]:
    """Look at everything; change nothing. `distros` are those whose images count (default:
    the built-in catalogue). `cache`: the folder with what was proved of acceleration; without
    it guests are not looked at. `guests`: they are wanted, and what they lack is missing.
    Raises InputError when the catalogue or the engine's name is wrong."""
    host = host or look_at_host(environ)
    distros = load_distros(None) if distros is None else distros
    pulls = {
        distro.name: [settings.reference(s.ref) for s in distro.image if isinstance(s, Pull)]
        for distro in distros
    }
    if settings.offline:
        registry = Check(name="image registry", status="ok", found="not asked: offline is set")
        away: tuple[Distro, ...] = ()
    else:
        answers = ask_registries((r for refs in pulls.values() for r in refs), ask_registry)
        registry = registry_check(answers)
        reached = {host for host, wrong in answers.items() if not wrong}
        away = tuple(d for d in distros if reached.isdisjoint(map(registry_host, pulls[d.name])))
    return (
        *engine_checks(settings.engine, open_engine, environ, host),
        registry,
        *tool_checks(distros, away, settings.archives, host),
        *other_bootstraps(d for d in away if settings.mirror(d)),
        *(guest_checks(host, cache, settings.accel, required=guests) if cache else ()),
    )
