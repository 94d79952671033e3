"""Where a cluster is, as users say it, and whether secrets may go there."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable
from pathlib import Path

from distromatrix.errors import Fault, InputError

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_BIGGEST = 1 << 20  # bytes of a scheduler file
_HINT = "give `tcp://HOST:PORT`, `tls://HOST:PORT`, or the file that `dask scheduler` wrote"


def address_of(text: str) -> str:
    """The scheduler's address: `text` itself, or what the scheduler file of that name says.
    Raises InputError."""
    if _is_address(text):
        return text
    if "://" in text:
        raise InputError(f"{text!r} is not the address of a cluster: {_HINT}")
    path = Path(text)
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_BIGGEST))
        address = str(found["address"])
    except OSError as error:
        fault = f"the scheduler file cannot be read: {error.strerror}"
        raise InputError(Fault(str(path), 0, 0, fault, _HINT)) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(Fault(str(path), 0, 0, "is not a scheduler file", _HINT)) from None
    if not _is_address(address):
        fault = f"names an address that is not supported: {address[:80]!r}"
        raise InputError(Fault(str(path), 0, 0, fault, _HINT))
    return address


def _is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found[3]) < 65536


def require_safe(addresses: Iterable[str]) -> None:
    """See that the product and secrets go nowhere in the clear. Raises InputError."""
    for address in in_the_clear(addresses):
        raise InputError(
            f"{address} is not encrypted: the product and `pass_env` would cross the network "
            "for anybody to read and change. Make certificates and use tls:// (docs/cluster.md "
            "says how), or pass --insecure-cluster in a network where everybody is trusted (in "
            "pytest: DISTROMATRIX_INSECURE_CLUSTER=1)"
        )


def in_the_clear(addresses: Iterable[str]) -> list[str]:
    """Those of other hosts to which nothing is encrypted."""
    return [one for one in addresses if not one.startswith("tls://") and not _is_loopback(one)]


def _is_loopback(address: str) -> bool:
    found = _ADDRESS.fullmatch(address)
    host = found[2].strip("[]") if found else ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
