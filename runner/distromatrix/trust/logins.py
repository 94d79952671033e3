"""For which registries the user's Docker configuration has a login. Reads names alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from distromatrix.files.user_folders import home

_PUBLIC = "docker.io/library/"  # Docker's own images, which everybody may have
_HUB = "https://index.docker.io/v1/"  # as `docker login` calls it


def logged_in(ref: str) -> bool:
    """Whether a reference is pulled by a login of the user's."""
    registry, slash, _ = ref.partition("/")
    if ref.startswith(_PUBLIC) or not slash:
        return False
    names = {registry, f"https://{registry}"} if registry != "docker.io" else {_HUB, registry}
    config = _config()
    return any(
        name in config[key]
        for key in ("auths", "credHelpers")
        if isinstance(config.get(key), dict)
        for name in names
    )


def _config() -> dict[str, Any]:
    folder = os.environ.get("DOCKER_CONFIG") or (home() or Path(os.devnull)) / ".docker"
    try:
        found = json.loads(Path(folder, "config.json").read_bytes())
    except (OSError, ValueError):
        return {}  # who pulls will tell of it
    return found if isinstance(found, dict) else {}
