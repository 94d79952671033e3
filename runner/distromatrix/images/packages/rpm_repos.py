"""The .repo files that dnf and zypper share, and what libcurl says in both."""

from __future__ import annotations

from distromatrix.images.packages.base import Addition, Mirror, write

# Every repository that is configured so far stays there, disabled: its file, were it gone,
# would come back with the next update of its package.
_DISABLE = """\
for file in {files}; do
if [ -e "$file" ]; then sed -i -e '/^enabled[ =]/d' -e 's/^\\[.*\\]/&\\nenabled=0/' "$file"; fi
done
"""
# Whether packages' signatures are checked, and with which of the keys in the image, stays as
# the distribution's own repositories have it; without a word of them, as the tool has it.
_CHECKS = """\
checks=$(cat {folder}/*.repo 2>/dev/null | sed -n -e 's/^gpgcheck *= *//p' | sort | tail -n 1)
keys=$(cat {folder}/*.repo 2>/dev/null | sed -n -e 's/^gpgkey *= *//p' | tr ', ' '\\n\\n' |
sed -n -e '/^file:/p' | sort -u | tr '\\n' ' ')
"""


def use(mirror: Mirror, folder: str, *more: str, services: str = "") -> str:
    """A script that makes a mirror's repositories the only enabled ones of that folder.
    `more` are lines for each; `services`: other files like .repo ones, to be disabled too."""
    lines = []
    for number, url in enumerate(mirror.urls("\\$basearch"), 1):
        lines += [f"[distromatrix-{number}]", f"name={url}", f"baseurl={url}", "enabled=1", *more]
        lines += ["${checks:+gpgcheck=$checks}", "${keys:+gpgkey=$keys}", ""]
    return (
        _CHECKS.format(folder=folder)
        + _DISABLE.format(files=f"{folder}/*.repo {services}".rstrip())
        + f"mkdir -p {folder}\n"
        + write(f"{folder}/distromatrix.repo", *lines)
    )


# A section is what follows its name up to the next.
_ENABLE = """\
if ! grep -qs '^\\[{id}\\]' {folder}/*.repo; then
echo 'Error: the image has no repository {id} to enable' >&2; exit 1
fi
sed -i -e '/^\\[{id}\\]/,/^\\[/s/^enabled *=.*/enabled=1/' {folder}/*.repo
"""


def add(one: Addition, folder: str, *more: str) -> str:
    """A script that adds repositories to those of that folder, or enables them there. `more` are
    lines for each."""
    own = one.repository
    script = "".join(
        _ENABLE.format(folder=folder, id=name.replace(".", "\\.")) for name in own.enable
    )
    if not own.url:
        return script
    signed = ["gpgcheck=1", f"gpgkey=file://{one.key}"] if one.key else ["gpgcheck=0"]
    lines = []
    for number, url in enumerate(one.urls("\\$basearch"), 1):
        lines += [f"[{one.name}-{number}]", f"name={url}", f"baseurl={url}", "enabled=1"]
        lines += [*more, *signed, ""]
    trust = f"rpm --import {one.key}\n" if one.key else ""
    return f"mkdir -p {folder}\n{script}{trust}" + write(f"{folder}/{one.name}.repo", *lines)
