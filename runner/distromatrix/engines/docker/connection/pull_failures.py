"""What kind of failure a registry's words mean. Pure."""

from __future__ import annotations

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
    first, slash, _ = ref.partition("/")
    registry = first if slash and (set(first) & set(".:") or first == "localhost") else "docker.io"
    return PullError(kind, f"cannot pull {ref}: {advice.format(registry=registry)} ({message})")
