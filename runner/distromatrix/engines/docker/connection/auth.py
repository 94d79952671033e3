"""Credentials for registries, out of Docker's own configuration: `auths`, `credsStore` and
`credHelpers` of config.json, as docker-py reads them. What is wrong there is told as such."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docker import auth
from docker.credentials.errors import StoreError
from docker.errors import DockerException
from docker.utils.config import find_config_file

from distromatrix.collect.masking import Masker
from distromatrix.errors import InputError, PullError

_SECRET = ("password", "auth", "identitytoken", "registrytoken")

# A helper that is not installed is told as an error, in our words.
warnings.filterwarnings("ignore", module=r"docker\.credentials")


def registry_of(ref: str) -> str:
    """The registry of an image reference, as `docker login` takes it."""
    return str(auth.split_repo_name(ref)[0])


def _config_file() -> str:
    """Where Docker's configuration is, or ''."""
    return str(find_config_file() or "")


def check_config() -> None:
    """Docker reads over a broken configuration in silence, and docker-py fails with a
    traceback. Raises InputError."""
    if not (found := _config_file()):
        return
    try:
        config = json.loads(Path(found).read_bytes())
        auth.AuthConfig.parse_auth(config.get("auths") or {}, raise_on_error=True)
    except OSError as error:
        raise InputError(f"{found}: cannot be read: {error.strerror}") from None
    except (ValueError, AttributeError, DockerException):
        raise InputError(
            f"{found}: is not a Docker configuration: mend it, or remove it and log in again "
            "with `docker login`"
        ) from None


def credentials(client: Any, ref: str) -> dict[str, Any] | None:
    """What Docker's configuration holds for the registry of `ref`, in the form that docker-py
    takes, or None. Raises PullError where a credential helper fails."""
    registry = registry_of(ref)
    try:
        found = auth.resolve_authconfig(client._auth_configs, registry)
    except (StoreError, DockerException) as error:
        why = error.__cause__ if isinstance(error.__cause__, StoreError) else error
        raise PullError(
            "denied",
            f"cannot pull {ref}: Docker's credential helper for {registry} failed: "
            f"{' '.join(str(why).split())}: see {_config_file()}",
        ) from error
    return dict(found) if found else None


def hiding(login: Mapping[str, Any] | None) -> Callable[[str], str]:
    """What masks a login in what the registry, and so the engine, says."""
    secrets = (str(value or "") for key, value in (login or {}).items() if key.lower() in _SECRET)
    return Masker(tuple(secrets)).mask
