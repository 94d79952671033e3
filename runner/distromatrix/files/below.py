"""A folder, held open: whatever path below it is opened, made, renamed or removed stays below it,
whoever wrote what lies there, and also where it changes meanwhile.

Links are followed in one of two ways, chosen for the folder: not at all, for what is ours; or as
if the folder were the root, for a distribution's tree, in which links are usual. The kernel
resolves (openat2(2), since Linux 5.6); where it cannot, we walk part by part with O_NOFOLLOW.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePath
from typing import IO, Self

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SYS_OPENAT2 = 437  # of all architectures that Linux has had since; alpha has another
# RESOLVE_NO_MAGICLINKS, and RESOLVE_BENEATH with RESOLVE_NO_SYMLINKS or RESOLVE_IN_ROOT, from
# <linux/openat2.h>
_WITHOUT_LINKS = 0x02 | 0x08 | 0x04
_AS_ROOT = 0x02 | 0x10
_TRIES = 16  # of the kernel, where something is renamed all the time
_MOST_LINKS = 40  # in one path, as in path_resolution(7)
_DEEP = 64  # folders in folders that are removed without being moved up

Where = str | PurePath


class Folder:
    """An open folder. Use as a context manager. Paths are relative to it; those that begin with
    `/` or hold `..` are refused where no links are followed, else they mean what they mean to a
    process whose root it is. All methods raise OSError, with the whole path in it.

    `owner`: whose what is made here shall be, (uid, gid); None: whoever we are.
    """

    def __init__(
        self, path: Path, fd: int, *, links: bool, owner: tuple[int, int] | None = None
    ) -> None:
        self.path = path  # to be shown, and for those who need a path
        self.fd = fd
        self.links = links
        self.owner = owner

    @classmethod
    def at(cls, path: Path, *, links: bool = False, owner: tuple[int, int] | None = None) -> Self:
        """Open the folder `path`, which itself is taken as it is, links included. `links`: those
        below it are followed as if it were the root."""
        return cls(path, os.open(path, _FOLDER), links=links, owner=owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    # --- looking ---------------------------------------------------------------------------

    def folder(self, path: Where, *, make: bool = False) -> Folder:
        """The folder there; `make`: with all that is missing on the way to it."""
        if make:
            self.make(path)
        return Folder(
            self.path / path, self.open(path, _FOLDER), links=self.links, owner=self.owner
        )

    def read(self, path: Where) -> IO[bytes]:
        """The regular file there, opened. No pipe is waited for, no device touched."""
        os.close(self._regular(path, os.O_PATH))
        return os.fdopen(self._regular(path, os.O_RDONLY | os.O_NONBLOCK), "rb")

    def read_bytes(self, path: Where, at_most: int) -> bytes:
        """The content of the regular file there; EFBIG where it has more bytes than that."""
        with self.read(path) as file:
            content = file.read(at_most + 1)
        if len(content) > at_most:
            raise self._error(path, errno.EFBIG, f"it has more than {at_most:,} bytes")
        return content

    def stat(self, path: Where = ".") -> os.stat_result:
        """What lies there, not what a link there leads to."""
        with self._parent(path) as (fd, name):
            return os.stat(name, dir_fd=fd, follow_symlinks=False)

    def has(self, path: Where) -> bool:
        """Whether anything lies there, were it a link that leads nowhere."""
        try:
            self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, path: Where = ".") -> list[str]:
        """The names in the folder there, sorted."""
        fd = self.open(path, _FOLDER)
        try:
            return sorted(os.listdir(fd))  # noqa: PTH208 - of a descriptor
        finally:
            os.close(fd)

    # --- changing --------------------------------------------------------------------------

    def make(self, path: Where) -> None:
        """Make the folder there, with all that is missing on the way to it."""
        try:
            os.close(self.open(path, _PLACE))
        except FileNotFoundError:
            if (above := PurePath(path).parent) != PurePath(path):
                self.make(above)
            with self._parent(path) as (fd, name), suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=fd)
                self._own(name, fd)
            os.close(self.open(path, _PLACE))

    def create(self, path: Where, mode: int = 0o644, *, new: bool = False) -> IO[bytes]:
        """A new file there, to write (its descriptor reads, too). A file or link that lies there
        goes first, or is in the way (`new`)."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._parent(path) as (fd, name):
            with suppress(FileNotFoundError):
                if not new:
                    os.unlink(name, dir_fd=fd)
            made = os.open(name, flags, mode, dir_fd=fd)
        file = os.fdopen(made, "wb")
        if self.owner is not None:
            os.fchown(made, *self.owner)
        return file

    def write(self, path: Where, content: bytes, mode: int = 0o644) -> None:
        """A file there with that content, at once or not at all."""
        with self._replacing(path) as part, self.create(part, mode) as file:
            file.write(content)

    def point(self, path: Where, target: str) -> None:
        """A link there to `target`, in place of a file or link that lies there."""
        with self._replacing(path) as part, self._parent(part) as (fd, name):
            os.symlink(target, name, dir_fd=fd)
            self._own(name, fd)

    def rename(self, old: Where, new: Where) -> None:
        """Move what lies at `old` to `new`, over a file or an empty folder that is there."""
        with self._parent(old) as (source, before), self._parent(new) as (target, after):
            os.rename(before, after, src_dir_fd=source, dst_dir_fd=target)

    def remove(self, path: Where) -> None:
        """Remove what lies there, a folder with all that is in it, however deep. Nothing there is
        no error."""
        with suppress(FileNotFoundError), self._parent(path) as (fd, name):
            if not _unlinked(fd, name):
                _remove_folder(fd, name)

    # --- within ----------------------------------------------------------------------------

    def open(self, path: Where, flags: int, mode: int = 0o644) -> int:
        """A descriptor of what lies there, as open(2) gives one. It is not inherited."""
        text, flags = os.fspath(path), flags | os.O_CLOEXEC
        if "\0" in text:
            raise self._error(path, errno.EINVAL)
        if not self.links and (text.startswith("/") or ".." in text.split("/")):
            raise self._error(path, errno.EXDEV, "it leads outside")
        try:
            return _opened(self.fd, text, flags, mode, links=self.links)
        except OSError as error:
            said = ""
            if error.errno == errno.ELOOP and not self.links:
                said = "a link lies there, and none is followed"
            raise self._error(path, error.errno or 0, said) from error

    def _error(self, path: Where, number: int, said: str = "") -> OSError:
        return OSError(number, said or os.strerror(number), str(self.path / path))

    @contextmanager
    def _parent(self, path: Where) -> Iterator[tuple[int, str]]:
        """The folder of what is named, and its name there; of the folder itself, `.`."""
        above, _, name = os.fspath(path).rstrip("/").rpartition("/")
        if name == "..":
            raise self._error(path, errno.EINVAL)
        fd = self.open(above or ("/" if self.links else "."), _PLACE)
        try:
            yield fd, name or "."
        except OSError as error:
            raise self._error(path, error.errno or 0) from error
        finally:
            os.close(fd)

    def _regular(self, path: Where, flags: int) -> int:
        fd = self.open(path, flags)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise self._error(path, errno.EINVAL, "it is not a regular file")
        return fd

    @contextmanager
    def _replacing(self, path: Where) -> Iterator[PurePath]:
        """A name beside `path` for what takes its place when the block ends well."""
        part = PurePath(path).with_name(f".{secrets.token_hex(8)}.part")
        try:
            yield part
            self.rename(part, path)
        except BaseException:
            with suppress(OSError):
                self.remove(part)
            raise

    def _own(self, name: str, fd: int) -> None:
        if self.owner is not None:
            os.chown(name, *self.owner, dir_fd=fd, follow_symlinks=False)


def caller() -> tuple[int, int] | None:
    """Whose our files shall be, where that is not who we run as: the user before sudo."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal():
        return int(uid), int(gid)
    return None


def _opened(fd: int, path: str, flags: int, mode: int, *, links: bool) -> int:
    if _kernel_resolves():
        with suppress(BlockingIOError):
            return _openat2(fd, path, flags, mode, links=links)
    return _walked(fd, path, flags, mode, links=links)


@cache
def _syscall() -> Callable[..., int]:
    import ctypes

    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    return function


@cache
def _kernel_resolves() -> bool:
    """Whether openat2 is there: filters of system calls refuse it in many ways."""
    try:
        os.close(_openat2(-100, ".", _PLACE, 0, links=True))  # AT_FDCWD
    except (OSError, AttributeError, ImportError):
        return False
    return True


def _openat2(fd: int, path: str, flags: int, mode: int, *, links: bool) -> int:
    """Raises BlockingIOError where it was disturbed each time."""
    import ctypes

    resolve = _AS_ROOT if links else _WITHOUT_LINKS
    how = (ctypes.c_uint64 * 3)(flags, mode if flags & os.O_CREAT else 0, resolve)
    name = ctypes.c_char_p(os.fsencode(path or "."))
    for _ in range(_TRIES):
        found = _syscall()(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(fd),
            name,
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if found >= 0:
            return int(found)
        if (number := ctypes.get_errno()) != errno.EAGAIN:
            raise OSError(number, os.strerror(number))
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _walked(root: int, path: str, flags: int, mode: int, *, links: bool) -> int:
    """The same, part by part. A folder once entered stays what it was, whoever moves it."""
    left, followed = deque(_parts(path)), 0
    entered = [os.dup(root)]
    try:
        while left:
            part = left.popleft()
            if part == "..":
                if len(entered) > 1:
                    os.close(entered.pop())
                continue
            target = _target(entered[-1], part)
            if target and (left or not flags & os.O_NOFOLLOW):
                followed += 1
                if not links or followed > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                while target.startswith("/") and len(entered) > 1:
                    os.close(entered.pop())
                left.extendleft(reversed(_parts(target)))
            elif left:
                entered.append(os.open(part, _PLACE | os.O_NOFOLLOW, dir_fd=entered[-1]))
            else:
                return os.open(part, flags | os.O_NOFOLLOW, mode, dir_fd=entered[-1])
        return os.open(".", flags, mode, dir_fd=entered[-1])
    finally:
        for fd in entered:
            os.close(fd)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _target(fd: int, name: str) -> str:
    """Where a link leads; '' for anything else."""
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return ""
        raise


def _unlinked(fd: int, name: str) -> bool:
    """Remove what is not a folder; whether it was none."""
    if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
        return False
    os.unlink(name, dir_fd=fd)
    return True


def _remove_folder(parent: int, name: str) -> None:
    """Remove a folder with all that is in it. What lies very deep is moved up before: neither
    descriptors nor Python's stack have room for every depth."""
    fd = _entered(parent, name)
    try:
        while _remove_in(fd, fd, _DEEP):
            pass
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)


def _remove_in(folder: int, top: int, deep: int) -> bool:
    """Remove what is in a folder; whether there was anything. What goes meanwhile is gone."""
    names = os.listdir(folder)
    for name in names:
        with suppress(FileNotFoundError):
            if _unlinked(folder, name):
                continue
            fd = _entered(folder, name)
            try:
                if deep:
                    _remove_in(fd, top, deep - 1)
            finally:
                os.close(fd)
            if deep:
                os.rmdir(name, dir_fd=folder)
            else:
                os.rename(name, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
    return bool(names)


def _entered(parent: int, name: str) -> int:
    """A descriptor of a folder that is to be emptied: made open to us where it was closed."""
    flags = _FOLDER | os.O_NOFOLLOW
    if os.geteuid() != 0:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        if mode & 0o700 != 0o700 and stat.S_ISDIR(mode):
            place = os.open(name, _PLACE | os.O_NOFOLLOW, dir_fd=parent)
            try:
                os.chmod(f"/proc/self/fd/{place}", 0o700)  # noqa: PTH101 - of a descriptor
            finally:
                os.close(place)
    return os.open(name, flags, dir_fd=parent)
