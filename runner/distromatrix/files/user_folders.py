"""Where things lie that are a user's own, also of a user without a home: a uid that is in no
passwd file, as in many CI containers, or a HOME that cannot be written to."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

from distromatrix.errors import InfrastructureError, InputError
from distromatrix.files.own import make_own, require_own

GONE = "the current folder was removed: change to another, or name the product's with -C DIR"
_NAME = "distromatrix"
_FIRST_NAMESPACE = 0xEFFFFFFC  # of processes: the kernel's own number of it
NO_HOME = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR)


def home() -> Path | None:
    """The user's home folder, if there is one."""
    try:
        found = Path.home()
    except RuntimeError:
        return None
    return found if found.is_absolute() else None


def user_folder(kind: Literal["config", "cache", "data", "log", "state"]) -> Path | None:
    """The user's folder for what is ours of that kind, which may not be there; None for a user
    without a home."""
    import platformdirs

    try:
        path: Path = getattr(platformdirs, f"user_{kind}_path")(_NAME)
    except RuntimeError:
        return None
    return path if path.is_absolute() else None


def config_file() -> Path | None:
    """The user's config.yaml, if there may be one."""
    folder = user_folder("config")
    try:
        return folder / "config.yaml" if folder and (folder / "config.yaml").exists() else None
    except PermissionError:  # another user's HOME holds none of this one's
        return None


def cache_path() -> Path:
    """Where what is kept between runs lies, outside of every tree; without a home in a folder of
    this user's own among the temporary ones. It may not be there."""
    return user_folder("cache") or _temporary()


def cache_folder() -> Path:
    """The same, made if need be. Raises InfrastructureError where that cannot be."""
    path = cache_path()
    try:
        if path == _temporary():
            return _temporary(make=True)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno not in NO_HOME or os.environ.get("XDG_CACHE_HOME"):
            raise _unusable(path, error.strerror or "") from error
    return _temporary(make=True)


def log_folder() -> Path:
    """Where programs that are started here write what they say. It may not be there."""
    return user_folder("log") or cache_folder() / "log"


def current_folder() -> Path:
    """The current folder. One that was removed has no path: then one in which nothing lies."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.devnull)


def is_gone(error: OSError | None = None) -> bool:
    """Whether the current folder was removed; of an error: whether that is why it came."""
    if error is not None and not isinstance(error, FileNotFoundError):
        return False
    return current_folder() == Path(os.devnull)


def require_current_folder(path: Path) -> None:
    """Raises InputError where `path` begins in a current folder that was removed."""
    if not path.is_absolute() and is_gone():
        raise InputError(GONE)


def _temporary(*, make: bool = False) -> Path:
    """A folder whose name everyone knows: refused where another has made it."""
    path = Path(tempfile.gettempdir(), f"{_NAME}-cache-{os.geteuid()}")
    try:
        (make_own if make else require_own)(path)
    except FileNotFoundError:
        return path
    except OSError as error:
        raise _unusable(path, error.strerror or "") from error
    return path


def _unusable(path: Path, why: str) -> InfrastructureError:
    return InfrastructureError(
        f"{path}: {why}: set XDG_CACHE_HOME to a folder of your own that can be written to",
        transient=False,
    )


def host_name() -> str:
    """What tells this host from others that share an engine: machine-id(5), else its name. In a
    container it is its name: with the machine-id of its host, if it was given that, it would take
    the runs there for dead, whose processes and folders it does not see."""
    with suppress(OSError):
        if Path("/proc/self/ns/pid").stat().st_ino != _FIRST_NAMESPACE:
            return socket.gethostname()
        found = Path("/etc/machine-id").read_text(encoding="ascii").strip()
        if found:
            return found
    return socket.gethostname()
