"""The .repo files that dnf and zypper share, and what libcurl says in both."""

from __future__ import annotations

from distromatrix.images.packages.base import Mirror, write

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
