"""Whether image registries and mirrors are in reach. Looks only: nothing is pulled."""

from __future__ import annotations

import os
import platform
import queue
import shutil
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import NamedTuple, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from distromatrix.doctor.model import Check
from distromatrix.doctor.tools import KEYRING
from distromatrix.images.base.bootstrap import missing_programs
from distromatrix.images.base.bootstrap.mmdebstrap import own_mirrors
from distromatrix.images.base.sources import find_archive
from distromatrix.load.settings import Settings
from distromatrix.model import Archive, Bootstrap, Distro, ImageSource, Pull
from distromatrix.wording import some_of

TIMEOUT = 4.0  # seconds, for all of them together
_SHOWN = 2  # of many registries
_ABSENT = "answers 404"
_LOGIN = "wants a login"
_FINE = ("", _LOGIN)
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)

Ask = Callable[[str], str]
Answer = TypeVar("Answer")


def registry_host(ref: str) -> str:
    """The registry of an image reference: what stands before the first `/`, if that looks
    like a host (has a `.` or a `:`, or is localhost); else Docker Hub."""
    first, slash, _ = ref.partition("/")
    return (
        first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"
    )


def ask_registries(refs: Iterable[str], ask: Ask | None = None) -> Mapping[str, str]:
    """What the registries of those references answer, all asked at once: '' or what is wrong.

    `ask` gets a registry's host and returns the like.
    """
    hosts = sorted({registry_host(ref) for ref in refs})
    return ask_all({host: partial(ask or ask_registry, host) for host in hosts}, _no_answer())


def ask_all(questions: Mapping[str, Callable[[], Answer]], otherwise: Answer) -> dict[str, Answer]:
    """The answers to all questions, asked at once; `otherwise` for what takes more than some
    seconds. In threads that nobody waits for: a name look-up may hang far longer than any
    timeout. No question raises."""
    answers: queue.Queue[tuple[str, Answer]] = queue.Queue()
    for key, ask in questions.items():
        threading.Thread(
            target=lambda key=key, ask=ask: answers.put((key, ask())), daemon=True
        ).start()
    result = dict.fromkeys(questions, otherwise)
    until = monotonic() + TIMEOUT + 1
    try:
        for _ in questions:
            key, answer = answers.get(timeout=max(until - monotonic(), 0))
            result[key] = answer
    except queue.Empty:
        pass
    return result


class _Way(NamedTuple):
    """What a source of an image takes: of the `urls`, where there are any, one that answers; and
    what is `lacking` besides. `asked`: whom they belong to."""

    urls: tuple[str, ...] = ()
    asked: str = ""
    lacking: str = ""


def not_in_reach(distros: Iterable[Distro], settings: Settings) -> dict[str, str]:
    """Those distros whose images can be had from none of their sources now, each with why, in a
    few words that name no URL. Takes some ten seconds at most. Never raises."""
    ways = {d.name: [_way(d, source, settings) for source in d.image] for d in distros}
    found = _ask_urls(u for each in ways.values() for w in each for u in w.urls if not w.lacking)
    away = {}
    for name, each in ways.items():
        whys = [
            way.lacking or f"{way.asked}: {found[way.urls[0]]}"
            for way in each
            if way.lacking or (way.urls and not any(found[url] in _FINE for url in way.urls))
        ]
        if len(whys) == len(each):
            away[name] = whys[0] if whys else "it has no image"
    return away


def _ask_urls(urls: Iterable[str]) -> dict[str, str]:
    """What servers answer for each. Of each server one is asked for first: where none answers, or
    it wants a login, the others are not."""
    by_server: dict[str, list[str]] = {}
    for url in sorted(set(urls)):
        by_server.setdefault(urlsplit(url).netloc, []).append(url)
    firsts = {server: partial(ask_url, of[0]) for server, of in by_server.items()}
    said = ask_all(firsts, _no_answer())
    found = {url: said[server] for server, of in by_server.items() for url in of}
    others = (
        u for server, of in by_server.items() if said[server] in ("", _ABSENT) for u in of[1:]
    )
    return found | ask_all({url: partial(ask_url, url) for url in others}, _no_answer())


def _way(distro: Distro, source: ImageSource, settings: Settings) -> _Way:
    if (machine := platform.machine()) not in distro.arch:
        return _Way(lacking=f"not for {machine}")
    if isinstance(source, Archive):
        there = find_archive(distro, source, settings.archives)
        return _Way(lacking="" if there else f"{source.file} is not here")
    if settings.offline:
        return _Way(lacking="offline is set")
    if isinstance(source, Pull):
        ref = settings.reference(source.ref)
        return _Way((_manifest(ref),), registry_host(ref))
    return _mirrored(distro, source, settings) if isinstance(source, Bootstrap) else _Way()


def _mirrored(distro: Distro, source: Bootstrap, settings: Settings) -> _Way:
    mirror = settings.mirror(distro)
    lacking = list(missing_programs(source))
    if os.geteuid() != 0 and not shutil.which("newuidmap"):
        lacking.append("newuidmap")
    urls: tuple[str, ...] = (mirror,)
    if source.tool == "mmdebstrap":
        keyring = "--keyring="
        named = [o.removeprefix(keyring) for o in source.options if o.startswith(keyring)]
        lacking += [file for file in named or [str(KEYRING)] if not Path(file).exists()]
        bases = (mirror,) if mirror else own_mirrors()
        urls = tuple(f"{base.rstrip('/')}/dists/{source.suite}/InRelease" for base in bases)
    elif not mirror:
        lacking.append("mirror in config.yaml")
    return _Way(urls, "its mirror", f"no {', no '.join(lacking)}" if lacking else "")


def _manifest(ref: str) -> str:
    """The URL of what a registry has under a full reference; of Docker Hub, which wants a login
    before it says that, of the registry itself."""
    host, _, path = ref.partition("/")
    if host == "docker.io":
        return _registry_url(host)
    name, at, digest = path.partition("@")
    name, colon, tag = (name, at, digest) if at else name.rpartition(":")
    if not colon:
        name, tag = path, "latest"
    return f"{_registry_url(host)}{name}/manifests/{tag}"


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
    `/v2/`: 200, or 401 before login), else what is wrong in a few words."""
    answer = ask_url(_registry_url(host))
    return "" if answer in _FINE else answer


def _registry_url(host: str) -> str:
    # Engines speak plain http to a registry on their own host.
    local = host.partition(":")[0] in ("localhost", "127.0.0.1")
    return f"{'http' if local else 'https'}://{host}/v2/"


def ask_url(url: str) -> str:
    """'' where a server has something for a URL, else what it answers, or what is wrong, in a few
    words."""
    try:
        # With a login in it, urllib takes it for a port.
        login = urlsplit(url).netloc.rpartition("@")[0]
        plain = url.replace(f"{login}@", "", 1) if login else url
        request = Request(plain, method="HEAD", headers={"Accept": f"{_MANIFESTS}, */*"})  # noqa: S310
        with urlopen(request, timeout=TIMEOUT, context=_certificates()):  # noqa: S310 - http alone
            return ""
    except HTTPError as error:
        if error.code in (401, 403):
            return _LOGIN
        # Docker Hub's name leads elsewhere, which is an answer, too.
        absent = error.code == 404 and not url.endswith("/v2/")
        return f"answers {error.code}" if error.code >= 500 or absent else ""
    except URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return f"TLS: {error.reason.reason or error.reason}"
        return "not in reach"
    except (OSError, ValueError, HTTPException):
        return "not in reach"


@cache
def _certificates() -> ssl.SSLContext:
    return ssl.create_default_context()


def _no_answer() -> str:
    return f"no answer in {TIMEOUT:.0f} s"
