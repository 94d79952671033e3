"""Makes testinfra know our hosts, without importing what they need: that comes with the first."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import testinfra.backend
from testinfra.host import Host

from distromatrix.testing import SCHEME

_HOSTS = "distromatrix.testing.hosts"


def install() -> None:
    """Once is enough. testinfra's own parser drops the parameters that it does not know: for
    our hosts alone, ours takes its place."""
    testinfra.backend.BACKENDS[SCHEME] = f"{_HOSTS}.DistromatrixBackend"
    theirs = testinfra.backend.parse_hostspec
    if getattr(theirs, "distromatrix", False):
        return

    def parse_hostspec(hostspec: str) -> tuple[str, dict[str, Any]]:
        ours = hostspec is not None and hostspec.startswith(f"{SCHEME}://")
        parse = import_module(_HOSTS).parse if ours else theirs
        parsed: tuple[str, dict[str, Any]] = parse(hostspec)
        return parsed

    parse_hostspec.distromatrix = True  # type: ignore[attr-defined]  # known by it again
    testinfra.backend.parse_hostspec = parse_hostspec


def forget() -> None:
    """Have testinfra forget the hosts of a session that ends or begins: it keeps them by their
    specifications, which another session may read differently."""
    for spec, others in list(Host._host_cache):
        if Host._host_cache[spec, others].backend.NAME == SCHEME:
            del Host._host_cache[spec, others]
    for specs, others in list(Host._hosts_cache):
        found = Host._hosts_cache[specs, others]
        if not found or any(host.backend.NAME == SCHEME for host in found):
            del Host._hosts_cache[specs, others]
