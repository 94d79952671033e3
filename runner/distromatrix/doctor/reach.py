"""Whether image registries are in reach. Looks only: nothing is pulled."""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from distromatrix.doctor.model import Check
from distromatrix.wording import some_of

TIMEOUT = 4.0  # seconds, for all of them together
_SHOWN = 2  # of many registries

Ask = Callable[[str], str]


def registry_host(ref: str) -> str:
    """The registry of an image reference: what stands before the first `/`, if that looks
    like a host (has a `.` or a `:`, or is localhost); else Docker Hub."""
    first, slash, _ = ref.partition("/")
    return (
        first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"
    )


def ask_registries(refs: Iterable[str], ask: Ask | None = None) -> Mapping[str, str]:
    """What the registries of those references answer, all asked at once: '' or what is wrong.

    `ask` gets a registry's host and returns the like. In threads that nobody waits for: a name
    look-up may hang far longer than any timeout.
    """
    ask = ask or ask_registry
    hosts = sorted({registry_host(ref) for ref in refs})
    answers: queue.Queue[tuple[str, str]] = queue.Queue()
    for host in hosts:
        threading.Thread(target=lambda h=host: answers.put((h, ask(h))), daemon=True).start()
    result = dict.fromkeys(hosts, f"no answer in {TIMEOUT:.0f} s")
    try:
        for _ in hosts:
            host, text = answers.get(timeout=TIMEOUT + 1)
            result[host] = text
    except queue.Empty:
        pass
    return result


def registry_check(answers: Mapping[str, str]) -> Check:
    """What to say of those answers, in one line however many they are."""
    name = "image registry"
    wrong: dict[str, list[str]] = {}
    for host, text in answers.items():
        wrong.setdefault(text, []).append(host)
    fine = wrong.pop("", [])
    reached = [f"{_some(fine)} in reach"] if fine else []
    if not wrong:
        return Check(name=name, status="ok", found=reached[0] if reached else "none is used")
    return Check(
        name=name,
        status="warning",
        found="; ".join([*(f"{_some(hosts)}: {text}" for text, hosts in wrong.items()), *reached]),
        why="images come from the distributions' package mirrors and from archives instead, "
        "where the catalogue names one",
        mend=("export DISTROMATRIX_REGISTRY=HOST[/PREFIX]  # a registry or mirror in your reach",),
    )


def _some(hosts: list[str]) -> str:
    """The names of a few, Docker Hub's first, and how many more there are."""
    hosts = sorted(hosts, key=lambda host: (host != "docker.io", host))
    return some_of(hosts, _SHOWN if len(hosts) > _SHOWN + 1 else len(hosts))


def ask_registry(host: str) -> str:
    """'' if the registry answers (https://distribution.github.io/distribution/spec/api/,
    `/v2/`: 200, or 401 before login; Docker Hub's name leads elsewhere, which is an answer
    too), else what is wrong in a few words."""
    # Engines speak plain http to a registry on their own host.
    scheme = "http" if host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
    url = f"{scheme}://{host}/v2/"
    try:
        with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT):  # noqa: S310 - scheme is ours
            return ""
    except HTTPError as error:
        return "" if error.code < 500 else f"answers {error.code}"
    except URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return f"TLS: {error.reason.reason or error.reason}"
        return "not in reach"
    except (OSError, ValueError):
        return "not in reach"
