"""What an engine says: why an image is not to be had, or a container does not start. Pure."""

from __future__ import annotations

from distromatrix.engines.docker.connection.auth import registry_of
from distromatrix.errors import PullError, PullFailure

# In this order: a message may hold several. The words are those of the Docker engine, of the
# distribution registry's error codes, and of Go's net, net/http and crypto packages.
_WORDS: tuple[tuple[PullFailure, tuple[str, ...]], ...] = (
    ("rate-limit", ("toomanyrequests", "too many requests", "rate limit", "status: 429")),
    (
        "unreachable",
        (
            *("no such host", "server misbehaving", "temporary failure in name resolution"),
            *("connection refused", "connection reset", "network is unreachable", "no route to"),
            *("i/o timeout", "deadline exceeded", "client.timeout", "request canceled while"),
            *("tls handshake timeout", "x509:", "tls: ", "http response to https client"),
            *("proxyconnect", "unexpected eof", ": eof", "bad gateway", "service unavailable"),
            "gateway timeout",
        ),
    ),
    ("denied", ("unauthorized", "denied", "authentication required", "no basic auth", "forbidden")),
    (
        "not-found",
        (
            *("manifest unknown", "manifest_unknown", "name unknown", "name_unknown"),
            *("not found", "does not exist", "no matching manifest", "no such image"),
        ),
    ),
)

_ADVICE: dict[PullFailure, str] = {
    "unreachable": "the registry is out of reach",
    "rate-limit": "the registry limits how often one may pull: log in with `docker login`, "
    "use a mirror, or wait",
    "denied": "the registry does not take the credentials in Docker's configuration: "
    "`docker login {registry}`",
    "not-found": "the registry has no such image: check the name and the tag",
    "other": "the pull failed",
}
_NO_CREDENTIALS = (
    "the registry wants credentials, and Docker's configuration has none for it: "
    "`docker login {registry}`"
)
_OTHER_MACHINES = (
    "the registry has this image for other architectures only: name one for this host's in the "
    "distro's file"
)
_DENIED_OR_ABSENT = (
    "the registry has no such image, or wants credentials for it (it does not say which): "
    "check the name, or `docker login {registry}`"
)

_NO_SHELL = "the image has no /bin/sh (or not the loader that it needs), without which no cell runs"
# Why a container could not be started, by words that all stand (in lower case) in what its
# runtime said. They are those of runc and crun, of execve(2)'s errors, and of the Docker engine.
_REASONS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("exec format error",), "it is made for another architecture than the engine's"),
    (("/bin/sh", "no such file"), _NO_SHELL),
    (("/bin/sh", "not found"), _NO_SHELL),
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


def of_image(image: str) -> str:
    """What a fault of an image begins with: a digest tells nobody which it is."""
    return "" if image.startswith("sha256:") else f"{image}: "


def classify(message: str) -> PullFailure:
    """The kind of failure that an engine's message about a pull means."""
    low = message.lower()
    for kind, words in _WORDS:
        if any(word in low for word in words):
            return kind
    return "other"


def pull_error(ref: str, message: str) -> PullError:
    """The error for a pull of `ref` that failed with that message, with what to do."""
    kind = classify(message)
    low = message.lower()
    advice = _ADVICE[kind]
    if kind == "denied" and "does not exist" in low:
        advice = _DENIED_OR_ABSENT
    elif kind == "denied" and "no basic auth" in low:
        advice = _NO_CREDENTIALS
    elif "no matching manifest" in low:
        advice = _OTHER_MACHINES
    advice = advice.format(registry=registry_of(ref))
    return PullError(kind, f"cannot pull {ref}: {advice} ({message})")


def cannot_start(text: str) -> str:
    """In our words, why it cannot start; '' if it is not that."""
    low = text.lower()
    if _NO_DEVICE in low:
        return f"the engine's host has no such device: {text.rpartition('device ')[2]}"
    return next((reason for words, reason in _REASONS if all(w in low for w in words)), "")
