"""What setup changed in a container, on its way into a guest that is made of the same image.

The scripts are run by root, in the machines: by GNU find and tar, which know all that a file has.
What comes out of the container is hostile. Here it is only counted and kept, in files without a
name, and never looked into.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from distromatrix.engines.contract import MOUNT
from distromatrix.errors import InfrastructureError

NOTED = b"noted"  # what NOTE says where it could
_LISTS = "/run/distromatrix-state"  # a folder in the container: nothing in /run is carried
_OF_CONTAINER = (
    *("./proc", "./sys", "./dev", "./run", "./.dockerenv"),
    *("./etc/hosts", "./etc/hostname", "./etc/resolv.conf"),
)
# Two lists: what each path is (its inode, when that was changed, which nobody can set), and of
# which kind.
_LIST = f"""LC_ALL=C; export LC_ALL; cd / && umask 077 && mkdir -p {_LISTS} || exit
list() {{
  find . .{MOUNT} -xdev \\( {" -o ".join(f"-path {one}" for one in _OF_CONTAINER)} \\) -prune -o \\
    -fprintf {_LISTS}/what '%i %C@ %p\\0' -fprintf {_LISTS}/kinds '%y%p\\0'
  sort -zu {_LISTS}/what >{_LISTS}/what-$1 && sort -zu {_LISTS}/kinds >{_LISTS}/kinds-$1
}}
"""
NOTE = f"""{_LIST}
tar --version | grep -q GNU && find / -maxdepth 0 -printf '' || exit
tried=$(printf 'a b\\0' | sort -zu | uniq -zu | cut -zb2- | cut -zd' ' -f2- | tr -d '\\0')
[ "$tried" = b ] || exit
list before && printf {NOTED.decode()}
"""
# The paths that are gone, or are of another kind now.
GONE = f"""{_LIST}
list now && cd {_LISTS} || exit
sort -z kinds-before kinds-now kinds-now | uniq -zu | cut -zb2-
"""
_ALL = (
    "--numeric-owner --acls --xattrs --xattrs-include=user.* --xattrs-include=security.capability"
)
# A status of 1: something that was left running has written meanwhile.
THERE = f"""cd {_LISTS} && LC_ALL=C && export LC_ALL || exit
sort -z what-before what-before what-now | uniq -zu | cut -zd' ' -f3- | sort -z >there
cd / && set -f
tar -c --format=posix --pax-option=delete=atime,delete=ctime {_ALL} --sparse --no-recursion \\
  --null -T {_LISTS}/there -f - || [ $? = 1 ]
"""
_USERS = "passwd group shadow gshadow"


def removing(busybox: str) -> str:
    """What removes in a guest the paths on its stdin. `busybox`: what calls its programs there,
    '' for the guest's own."""
    return f"cd / && {busybox} xargs -0 {busybox} rm -rf --"


def unpacking(busybox: str) -> str:
    """What unpacks in a guest the tar on its stdin. A user that only the guest has (its init
    system's, its sshd's) stays one."""
    return f"""cd / && set -f || exit
kept=/run/distromatrix-users
{busybox} mkdir -p $kept
for one in {_USERS}; do
  [ ! -e etc/$one ] || {busybox} cp -p etc/$one $kept || exit
done
tar -xp {_ALL} -f - || exit
for one in {_USERS}; do
  [ -e $kept/$one ] && [ -e etc/$one ] || continue
  ! {busybox} cmp -s $kept/$one etc/$one || continue
  {busybox} awk -F: 'NR == FNR {{ there[$1] = 1; next }} !($1 in there)' \\
    etc/$one $kept/$one >$kept/more
  {busybox} cat $kept/more >>etc/$one
done
{busybox} rm -rf $kept
"""


class TooMuchError(InfrastructureError):
    """More was changed than its cell may write."""


@dataclass(slots=True)
class Changes:
    """`gone`: paths from /, each with a NUL after it; `there`: a tar of what is new or another.
    To be closed."""

    gone: BinaryIO
    there: BinaryIO

    @classmethod
    def kept(
        cls, gone: Iterable[bytes], there: Iterable[bytes], folder: Path, most: int
    ) -> Changes:
        """These streams, `most` bytes at the most, on the disk of that folder, in which nothing
        is to be seen of them. Raises TooMuchError, OSError."""
        first = _kept(gone, folder, most)
        try:
            return cls(first, _kept(there, folder, most))
        except BaseException:
            first.close()
            raise

    @property
    def size(self) -> int:
        """Bytes of both."""
        return sum(os.fstat(file.fileno()).st_size for file in (self.gone, self.there))

    def close(self) -> None:
        """Forget them."""
        self.gone.close()
        self.there.close()


def _kept(pieces: Iterable[bytes], folder: Path, most: int) -> BinaryIO:
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - see Changes.close
    try:
        for piece in pieces:
            if (most := most - len(piece)) < 0:
                raise TooMuchError("too much was changed", transient=False)
            file.write(piece)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file
