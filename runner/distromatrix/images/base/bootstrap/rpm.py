"""What dnf and zypper share: repositories, keys and the database of RPM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from distromatrix.images.base.bootstrap.base import BootstrapJob, Work
from distromatrix.images.base.bootstrap.tree import tree_work

KEY_FOLDERS = ("/etc/pki/rpm-gpg", "/usr/lib/rpm/gnupg/keys")
_IMAGE_KEYS = "etc/pki/rpm-gpg"

_DATABASE = "/usr/lib/sysimage/rpm"
# Debian's rpm has its database in the user's home.
_MACROS = {"home/.rpmmacros": f"%_dbpath {_DATABASE}\n"}

# The image's own rpm says where its database lies and in which format, and converts it.
_FINISH = f"""
if [ -x "$root/usr/bin/rpm" ]; then
    wanted=$(chroot "$root" /usr/bin/rpm --eval '%{{_dbpath}}')
    chroot "$root" /bin/sh -ec '[ "$1" -ef "$2" ] || {{
        mkdir -p "$2"; cp -a "$1/." "$2/"; rm -rf "$1"; }}' sh {_DATABASE} "$wanted"
    chroot "$root" /usr/bin/rpmdb --rebuilddb || :
    if [ -z "$(chroot "$root" /usr/bin/rpm -qa)" ]; then
        echo "distromatrix: the image's rpm cannot read the database that this host's rpm wrote" >&2
        exit 1
    fi
fi
"""


def rpm_work(
    job: BootstrapJob,
    install: str,
    *,
    repos: str,
    files: Mapping[str, str | bytes],
    without: Iterable[str],
    suse: bool = False,
) -> Work:
    """The work of a tool that installs packages of RPM: see `tree_work`. `repos`: the image's
    folder of `.repo` files. The repositories that the distribution's packages brought there are
    disabled: the image's packages come from the mirror that it was made of, as with mmdebstrap."""
    here = tuple(key.as_uri() for key in job.keys)
    inside = tuple(f"file:///{_IMAGE_KEYS}/{key.name}" for key in job.keys)
    disable = (
        f'[ ! -d "$root/{repos}" ] || find "$root/{repos}" -maxdepth 1 -type f '
        "-name '*.repo' -exec sed -i 's/^enabled *=.*/enabled=0/' {} +\n"
    )
    return tree_work(
        job,
        install,
        files={**_MACROS, **files, "repos/distromatrix.repo": _repo_file(job, here, suse=suse)},
        image={
            f"{repos}/distromatrix.repo": _repo_file(job, inside, suse=suse),
            **{f"{_IMAGE_KEYS}/{key.name}": key.read_bytes() for key in job.keys},
        },
        without=without,
        finish=disable + _FINISH,
    )


def _repo_file(job: BootstrapJob, keys: tuple[str, ...], *, suse: bool) -> str:
    """A `.repo` file with all repositories. `keys`: URLs of the keys, where it is read."""
    sections = []
    for number, url in enumerate(job.repositories, 1):
        lines = [f"[distromatrix-{number}]", f"name={url}", f"baseurl={url}", "enabled=1"]
        lines += ["autorefresh=1"] if suse else []
        lines.append(f"gpgcheck={1 if job.keys else 0}")
        if keys:
            lines.append("gpgkey=" + "\n       ".join(keys))
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)
