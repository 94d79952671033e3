"""What all tools that fill a folder share: how it is begun, and how it becomes a tar."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from distromatrix.images.base.bootstrap.base import BootstrapJob, Work

IMAGE = "image"  # what is added to the tree, below the job's folder

_KERNELS = ("dev/*", "proc/*", "sys/*")  # what the engine puts there
_DEVICES = "null zero full random urandom"


def tree_work(
    job: BootstrapJob,
    install: str,
    *,
    files: Mapping[str, str | bytes],
    image: Mapping[str, str | bytes],
    without: Iterable[str] = (),
    finish: str = "",
    add: Iterable[str] = (),
) -> Work:
    """The work of a tool whose script `install` fills `$root`. `files` are the tool's own
    configuration, `image` what the image gets (path in it -> content; `add`: more such paths,
    which the scripts make below `$image`), `without` globs in the tree that stay out of it,
    `finish` a script after `install`."""
    added = " ".join(map(shlex.quote, (*image, *add)))
    left_out = " ".join(f"--exclude='./{path}'" for path in (*_KERNELS, *without))
    here = shlex.quote(str(job.folder))
    script = (
        f"umask 022\nfolder={here}\nroot=$folder/root\nimage=$folder/{IMAGE}\n"
        'export HOME="$folder/home"\n'
        'mkdir -p "$HOME" "$root/dev" "$root/proc" "$root/sys" "$image"\n'
        f"{_devices(job)}{install}{finish}"
        # What is added comes last and so wins, whatever the tree has in its place: no link in
        # the tree is ever followed, and nothing removed by a path that leads through one.
        "tar --create --file rootfs.tar --numeric-owner --xattrs '--xattrs-include=*' "
        f"--xattrs-exclude=security.selinux --anchored {left_out} "
        f'--directory "$root" . --directory "$image" {added}\n'
    )
    placed = {f"{IMAGE}/{path}": content for path, content in image.items()}
    return Work(script=script, files={**files, **placed})


def _devices(job: BootstrapJob) -> str:
    """Packages' scripts write to /dev/null; without one they would make it a file."""
    if job.alone:
        one = ': >"$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"'
    else:
        one = 'mknod -m 666 "$root/dev/$device" c $(stat -c "%Hr %Lr" "/dev/$device") 2>/dev/null'
    return f"for device in {_DEVICES}; do {one} || :; done\n"
