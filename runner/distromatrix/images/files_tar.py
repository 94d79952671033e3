"""Files as a tar, for machines and for builds."""

from __future__ import annotations

import io
import os
import stat
import tarfile

File = tuple[str, bytes, int]  # path, content (of a link: where it leads), mode


def tar_of(files: tuple[File, ...]) -> bytes:
    """A tar of files, root's, without entries for folders: those that exist keep their
    modes, and whoever extracts makes the others."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content, mode in files:
            member = tarfile.TarInfo(path)
            member.mode = stat.S_IMODE(mode)
            if stat.S_ISLNK(mode):
                member.type, member.linkname = tarfile.SYMTYPE, os.fsdecode(content)
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
