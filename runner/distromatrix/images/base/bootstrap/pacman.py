"""pacman, of Arch Linux: `pacman --root`."""

from __future__ import annotations

import shlex
from pathlib import Path

from distromatrix.images.base.bootstrap.base import BootstrapJob, Tool, Work, pattern
from distromatrix.images.base.bootstrap.tree import tree_work
from distromatrix.images.packages.pacman import PACMAN

_KEYRINGS = ("/usr/share/pacman/keyrings", "/usr/share/keyrings")
_DOCS = "usr/share/doc/* usr/share/man/* usr/share/info/* usr/share/gtk-doc/* usr/share/help/*"
# As pacman 6 and 7 print them; the rest is read as in a cell.
_FAILURES = (
    pattern("full", r"^error: (.*not enough free disk space.*)$"),
    pattern("signature", r"^error: (failed retrieving file '.*\.sig' .* error: 404)$"),
    pattern("signature", r'^error: (.*key ".*" is unknown)$'),
    pattern("signature", r"^==> ERROR: (.*)$"),
    pattern("not-found", r"^error: (failed retrieving file .* error: 4\d\d)$"),
)


def _work(job: BootstrapJob) -> Work:
    line = shlex.join(
        (
            *("pacman", f"--config={job.folder}/pacman.conf", f"--root={job.root}"),
            *(f"--cachedir={job.folder}/cache", f"--logfile={job.folder}/pacman.log"),
            f"--gpgdir={job.folder}/gnupg",
            *("--noconfirm", "--noprogressbar", *job.options, "-Sy", *job.source.packages),
        )
    )
    install = (
        'mkdir -p "$root/var/lib/pacman" "$folder/cache" "$folder/gnupg"\n'
        f'chmod 700 "$folder/gnupg"\n{_keyring(job.keys)}{line}\n'
    )
    servers = _servers(job)
    return tree_work(
        job,
        install,
        files={"pacman.conf": _config(job, f"{job.folder}/mirrorlist"), "mirrorlist": servers},
        image={
            "etc/pacman.conf": _config(job, "/etc/pacman.d/mirrorlist"),
            "etc/pacman.d/mirrorlist": servers,
        },
        add=("etc/pacman.d/gnupg",) if job.keys else (),
        without=("var/lib/pacman/sync/*", "var/cache/pacman/pkg/*"),
        finish=_IMAGE_KEYRING if job.keys else "",
    )


def _config(job: BootstrapJob, mirrorlist: str) -> str:
    """A repository's name is the first segment of its path: Arch Linux has `core/os/x86_64`."""
    level = "Required DatabaseOptional" if job.keys else "Never"
    head = f"[options]\nArchitecture = {job.arch}\nSigLevel = {level}\nNoExtract = {_DOCS}\n"
    return head + "".join(f"\n[{name}]\nInclude = {mirrorlist}\n" for name, _ in _parts(job))


def _servers(job: BootstrapJob) -> str:
    """The mirrorlist: what is the same for all repositories, once."""
    base = job.mirror.rstrip("/")
    return "".join(dict.fromkeys(f"Server = {base}/$repo/{rest}\n" for _, rest in _parts(job)))


def _parts(job: BootstrapJob) -> tuple[tuple[str, str], ...]:
    """Each repository's name, and the rest of its path."""
    base = job.mirror.rstrip("/") + "/"
    split = (url.removeprefix(base).partition("/") for url in job.repositories)
    return tuple((name, rest) for name, _, rest in split)


# The keyring goes into the image without the secret key that was made to sign it.
_IMAGE_KEYRING = """
gpgconf --homedir "$folder/gnupg" --kill all || :
mkdir -p "$image/etc/pacman.d"
cp -R "$folder/gnupg" "$image/etc/pacman.d/gnupg"
rm -rf "$image/etc/pacman.d/gnupg/private-keys-v1.d" "$image/etc/pacman.d/gnupg"/S.* \\
    "$image/etc/pacman.d/gnupg"/*~ "$image/etc/pacman.d/gnupg/openpgp-revocs.d"
"""


def _keyring(keys: tuple[Path, ...]) -> str:
    """A script that makes a keyring in which those keys are trusted. One that lies where
    distributions have them comes with lists of whom to trust and what was revoked."""
    if not keys:
        return ""
    lines = [
        "trap 'gpgconf --homedir \"$folder/gnupg\" --kill all || :' EXIT",
        'keyring() { pacman-key --config "$folder/pacman.conf" --gpgdir "$folder/gnupg" "$@"; }',
        "keyring --init",
    ]
    for key in keys:
        if key.with_name(f"{key.stem}-trusted").is_file() and str(key.parent) in _KEYRINGS:
            lines.append(f"keyring --populate {shlex.quote(key.stem)}")
            continue
        path = shlex.quote(str(key))
        lines += [
            f"keyring --add {path}",
            f"for print in $({_fingerprints(path)}); do keyring --lsign-key $print; done",
        ]
    return "\n".join(lines) + "\n"


def _fingerprints(path: str) -> str:
    """Of the primary keys in a file. Format: GnuPG's doc/DETAILS, `--with-colons`."""
    show = f'gpg --homedir "$folder/gnupg" --batch --with-colons --show-keys {path}'
    return f'{show} | awk -F: \'$1 == "pub" {{ p = 1 }} $1 == "fpr" && p {{ print $10; p = 0 }}\''


TOOL = Tool(
    name="pacman",
    programs=(
        ("pacman", "apt-get install pacman-package-manager"),
        # Where it is of pacman 7, Debian has a part of pacman-key in makepkg.
        ("pacman-key", "apt-get install pacman-package-manager makepkg gpg"),
        ("gpg", "apt-get install gpg"),
    ),
    work=_work,
    failures=_FAILURES,
    reads=PACMAN,
    key_folders=_KEYRINGS,
)
