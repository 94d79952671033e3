"""The connection to a Docker-API engine, and the one place where its errors become ours."""

from __future__ import annotations

import errno
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import inf
from time import monotonic, sleep
from typing import Any, TypeVar

import requests
import urllib3
from docker import APIClient
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, NotFound
from docker.utils import kwargs_from_env, parse_host

from distromatrix.collect.text import without_logins
from distromatrix.engines.contract import API_TIMEOUT
from distromatrix.engines.docker import podman
from distromatrix.engines.docker.connection.auth import check_config
from distromatrix.engines.docker.connection.ssh import SshAdapter, SshEndedError, SshHost
from distromatrix.engines.docker.dialect import Dialect, dialect_of, own_limits
from distromatrix.engines.docker.spec import Limits
from distromatrix.errors import DiskFullError, EngineUnavailableError, InfrastructureError

# Pulls, imports and commits are silent for as long as they unpack or write.
LONG_TIMEOUT = 1800.0
# What must not hold up an interrupted run.
SHORT_TIMEOUT = 10.0

_POOL = 64  # connections that a client keeps
_ATTEMPTS = 20  # to remove a container, to list what there is, or to look at an image
_ENDING = re.compile("container state improper")  # Podman's of what ends at the same moment
GONE = re.compile(
    "no such (container|volume|network|image)|image not known|no container with", re.I
)
# Of the API, where an engine does not say which is its newest.
_OLDEST = "1.40"
_DOCTOR = "`distromatrix doctor` says more"

T = TypeVar("T")


class _Client(APIClient):
    """APIClient, whose attach_socket() alone would wait for ever for a silent engine."""

    _version: str

    def post(self, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", self.timeout)
        return super().post(url, *args, **kwargs)


def docker_address() -> dict[str, Any]:
    """Where the engine is, as the docker command finds it: DOCKER_HOST and its TLS variables,
    else DOCKER_CONTEXT, else the context in use. (docker-py knows this by itself from 7.2.)"""
    found: dict[str, Any] = dict(kwargs_from_env())
    if "base_url" in found:
        return found
    name = os.environ.get("DOCKER_CONTEXT") or None
    context = ContextAPI.get_context(name)
    if context is None:
        raise EngineUnavailableError(f"no Docker context '{name}': see `docker context ls`")
    if context.Host and context.name != "default":
        found["base_url"] = context.Host
        if context.TLSConfig:
            found["tls"] = context.TLSConfig
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How an engine is got at.

    `address` gives docker-py's `base_url` and `tls`, and may start the engine; `command` is
    its own client; `absent` and `refused` say what helps where its socket is not there or not
    for this user.
    """

    address: Callable[[], dict[str, Any]]
    command: str
    absent: str
    refused: str


DOCKER = Access(
    address=docker_address,
    command="docker",
    absent="install or start Docker",
    refused="join its group with `sudo usermod -aG docker $USER` and log in again, or use sudo",
)
PODMAN = Access(
    address=podman.address, command="podman", absent=podman.ABSENT, refused=podman.REFUSED
)


class Api:
    """Clients of one engine, made when first needed, one for each timeout. Thread-safe."""

    def __init__(self, access: Access = DOCKER) -> None:
        self.access = access
        self._lock = threading.Lock()
        self._clients: dict[float, _Client] = {}
        self._address: dict[str, Any] | None = None
        self._version: str | None = None
        self._dialect: Dialect | None = None
        self.lacks_ipv6 = False  # the kernel of its host; known when a container could not start
        self.full_since = -inf  # time.monotonic()
        self._ssh: SshHost | None = None
        self.url = os.environ.get("DOCKER_HOST") or "the default socket"

    @contextmanager
    def calling(self, doing: str, timeout: float = API_TIMEOUT) -> Iterator[Any]:
        """An APIClient to call inside the `with`; Any, because half its methods bear no types.

        `doing` says in an error what was tried ('start a container'). An APIError that the
        block handles itself stays its own.

        Raises EngineUnavailableError, InfrastructureError.
        """
        try:
            yield self._client(timeout)
        except APIError as error:
            raise _refused(doing, error) from error
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            DockerException,
            OSError,
        ) as error:
            raise self._unavailable(doing, timeout, error) from error

    @contextmanager
    def noting_full_disk(self) -> Iterator[None]:
        """Around what makes a machine: `full_since` is when that last found no room."""
        try:
            yield
        except DiskFullError:
            self.full_since = monotonic()
            raise

    @property
    def dialect(self) -> Dialect:
        """Its product's own ways. Raises EngineUnavailableError."""
        if self._dialect is None:
            self.ping()
        assert self._dialect is not None  # noqa: S101  # every client has learnt it
        return self._dialect

    @cached_property
    def info(self) -> dict[str, Any]:
        """What it says of itself, as it was first asked: for Podman it is a second's work. Raises
        EngineUnavailableError."""
        with self.calling("ask the engine what it is") as client:
            found: dict[str, Any] = client.info()
            return found

    @cached_property
    def version(self) -> str:
        """Its product's, as it was first asked. Raises EngineUnavailableError."""
        if self.dialect.version:
            return self.dialect.version
        with self.calling("ask the engine what it is") as client:
            return str(client.version()["Version"])

    @cached_property
    def limits(self) -> Limits:
        """What of it shapes its containers. Raises EngineUnavailableError."""
        told = self.dialect.raises_limits and self.url.startswith("unix:")
        return Limits(
            cpus=self.info["NCPU"],
            apparmor="apparmor" in " ".join(self.info.get("SecurityOptions") or ()),
            dialect=self.dialect,
            cgroup=str(self.info.get("CgroupVersion") or "1"),
            resources=own_limits() if told else (),
        )

    def ping(self, timeout: float = API_TIMEOUT) -> None:
        """Raises EngineUnavailableError unless it answers."""
        with self.calling("reach the engine", timeout) as client:
            client.ping()

    def _client(self, timeout: float) -> _Client:
        with self._lock:
            if timeout not in self._clients:
                if self._address is None:
                    check_config()
                    self._address = self.access.address()
                    self.url = _url(self._address.get("base_url"))
                client = self._new_client(timeout)
                if self._version is None:
                    # Not by /version, for which Podman starts several processes.
                    headers = client.get(f"{client.base_url}/_ping", timeout=timeout).headers
                    self._version = headers.get("Api-Version", _OLDEST)
                    self._dialect = dialect_of(headers)
                    client._version = self._version
                self._clients[timeout] = client
            return self._clients[timeout]

    def _new_client(self, timeout: float) -> _Client:
        known: dict[str, Any] = {"version": self._version or _OLDEST, "timeout": int(timeout)}
        if not self.url.startswith("ssh:"):
            return _Client(**known, max_pool_size=_POOL, **self._address or {})
        self._ssh = self._ssh or SshHost(self.url, self.access.command)
        client = _Client(**known, base_url="unix:///ssh")
        client.mount(client.base_url, SshAdapter(self._ssh, timeout, _POOL))
        return client

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _unavailable(
        self, doing: str, timeout: float, error: BaseException
    ) -> EngineUnavailableError:
        chain, url = tuple(_chain(error)), self.url
        numbers = {e.errno for e in chain if isinstance(e, OSError) and e.errno}
        ssh = next((str(e) for e in chain if isinstance(e, SshEndedError)), "")
        silent = any(isinstance(e, requests.exceptions.Timeout | TimeoutError) for e in chain)
        unknown = any(isinstance(e, socket.gaierror) for e in chain)
        refused = numbers & {errno.EACCES, errno.EPERM}
        causes = (
            (ssh, f"{url}: {ssh}"),
            (refused, f"no rights on the engine's socket {url}: {self.access.refused}"),
            (errno.ENOENT in numbers, f"there is no engine socket {url}: {self.access.absent}"),
            (errno.ECONNREFUSED in numbers, f"no engine answers at {url}: start it"),
            (silent, f"the engine at {url} did not answer within {timeout:.0f} s"),
            (unknown, f"the engine's host in {url} cannot be found"),
            (errno.ENOSPC in numbers, "this host's disk is full"),
            (True, f"the engine at {url} is out of reach: {' '.join(str(error).split())}"),
        )
        text = next(text for found, text in causes if found)
        return EngineUnavailableError(f"cannot {doing}: {without_logins(text)}; {_DOCTOR}")


def _url(address: str | None) -> str:
    """As users write it. What docker-py makes of ssh's would hide the port that ssh is told of
    in its own configuration, and refuses a path."""
    if address and address.startswith("ssh://"):
        return address
    return str(parse_host(address)).replace("http+unix", "unix")


def message_of(error: APIError) -> str:
    """What the engine itself said, in one line."""
    return " ".join(str(error.explanation or error).split())


def listed(ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What an engine lists: it may trip over a thing that goes while it does. Raises APIError."""
    return patiently(ask, GONE)


def timestamp(said: object) -> float:
    """Seconds since 1970, of a number or a date (RFC 3339); 0 of anything else."""
    try:
        if isinstance(said, int | float):
            return float(said)
        return datetime.fromisoformat(str(said)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def patiently(call: Callable[[], T], passes: re.Pattern[str]) -> T:
    """What it returns, tried anew while it fails with words that pass by themselves; what is not
    there stays so. Raises APIError."""
    for patience in reversed(range(_ATTEMPTS)):
        try:
            return call()
        except APIError as error:
            if isinstance(error, NotFound) or not patience or not passes.search(str(error)):
                raise
            sleep(0.1)
    raise AssertionError("unreachable")


def pieces(stream: Iterator[T], calling: Callable[[], AbstractContextManager[Any]]) -> Iterator[T]:
    """What an engine streams, each piece got inside of `calling`: who reads them is outside."""
    while True:
        with calling():
            piece = next(stream, None)
        if piece is None:
            return
        yield piece


def remove_container(client: Any, container: str) -> None:
    """Remove it by force with its anonymous volumes. Raises APIError."""
    patiently(lambda: client.remove_container(container, v=True, force=True), _ENDING)


def _refused(doing: str, error: APIError) -> InfrastructureError:
    client_fault = error.response is not None and 400 <= error.response.status_code < 500
    return failure(doing, message_of(error), transient=not client_fault)


def failure(doing: str, text: str, *, transient: bool = False) -> InfrastructureError:
    """The error for what an engine has refused with those words: DiskFullError where its host's
    disk is full."""
    if "no space left on device" in text.lower():
        return DiskFullError(
            f"cannot {doing}: the engine's disk is full ({text}); "
            "`distromatrix images prune` and `distromatrix clean` make room"
        )
    return InfrastructureError(f"cannot {doing}: {text}", transient=transient)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and what it carries: requests and urllib3 hide the
    operating system's error in their arguments."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, *one.args, getattr(one, "reason", None)]
