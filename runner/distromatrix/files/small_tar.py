"""Small tars, made in memory: for machines and for builds."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable, Mapping

File = tuple[str, bytes, int]  # path, content (of a link: where it leads), mode


def tar_of(
    files: Iterable[tuple[str, bytes | None, int]],
    owners: Mapping[str, tuple[int, int]] | None = None,
) -> bytes:
    """A tar of files and folders (without a content), root's but where `owners` (UID and GID by
    path) says otherwise. It has no entries for folders that are not named: those that exist keep
    their modes, and whoever extracts makes the others."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content, mode in files:
            member = tarfile.TarInfo(path)
            member.mode = stat.S_IMODE(mode)
            member.uid, member.gid = (owners or {}).get(path, (0, 0))
            if content is None:
                member.type = tarfile.DIRTYPE
            elif stat.S_ISLNK(mode):
                member.type, member.linkname = tarfile.SYMTYPE, os.fsdecode(content)
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content or b""))
    return buffer.getvalue()
