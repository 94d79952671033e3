"""What a cell's machine is called on its engine."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping

from distromatrix.engines.contract import LABEL_FOLDER, LABEL_HOST

_MOST = 63  # characters: a host name has no more (RFC 1123), and an engine may make it one
_HASH = 10  # base 32 digits: 50 bits
_NO_HOST_NAME = re.compile(r"[^a-z0-9]+")


def machine_name(run: str, labels: Mapping[str, str], cell: str, *which: object) -> str:
    """`distromatrix-RUN-CELL-HASH`: the cell's id as far as there is room for it, and a hash of
    all that makes this machine another one than any other: the run with its host and folder,
    the cell, and `which` of its machines it is."""
    whole = (labels.get(LABEL_HOST), labels.get(LABEL_FOLDER), run, cell, *map(str, which))
    digest = hashlib.sha256(json.dumps(whole).encode()).digest()
    end = base64.b32encode(digest).decode().lower()[:_HASH]
    readable = _NO_HOST_NAME.sub("-", f"distromatrix-{run}-{cell}".lower())
    return f"{readable[: _MOST - _HASH - 1].rstrip('-')}-{end}"


def host_name(distro: str) -> str:
    """What the machines of a distro call themselves: short, and the same in every run, for it
    gets into reports and into the paths of sockets."""
    return _NO_HOST_NAME.sub("-", distro.lower()).strip("-")
