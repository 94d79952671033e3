"""Why a container could not be started, from what its runtime said. Pure."""

from __future__ import annotations

# All of the words on the left stand in it (in lower case). The words
# are those of runc and crun, of execve(2)'s errors, and of the Docker engine.
_REASONS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("exec format error",), "it is made for another architecture than the engine's"),
    (("/bin/sh", "no such file"), "the image has no /bin/sh (or not the loader that it needs)"),
    (("/bin/sh", "not found"), "the image has no /bin/sh (or not the loader that it needs)"),
    (("/bin/sh", "permission denied"), "the image's /bin/sh cannot be executed"),
    (("/sbin/init", "no such file"), "the image has no /sbin/init: add its init system's package"),
    (("unable to find user",), "the image does not know the user"),
    (("no matching entries in passwd",), "the image does not know the user"),
    (
        ("crun: cgroups in hybrid mode",),
        "crun starts no container where cgroup v1 is in use: "
        "`distromatrix doctor --engine podman --fix` has Podman use runc",
    ),
)
_NO_DEVICE = "error gathering device information"


def cannot_start(text: str) -> str:
    """In our words, why it cannot start; '' if it is not that."""
    low = text.lower()
    if _NO_DEVICE in low:
        return f"the engine's host has no such device: {text.rpartition('device ')[2]}"
    return next((reason for words, reason in _REASONS if all(w in low for w in words)), "")
