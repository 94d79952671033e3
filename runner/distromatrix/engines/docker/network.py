"""Networks of our own on a Docker-API engine: no machine on one reaches another machine.

Docker has one for each run, without traffic between its containers. Where that cannot be, each
container has one: Podman's user-mode network, or a bridge of its own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from time import sleep
from typing import Any

from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from distromatrix.engines.contract import LABEL_RUN, MachineSpec
from distromatrix.engines.docker.connection.api import Api, message_of
from distromatrix.engines.docker.machine import DockerMachine
from distromatrix.engines.docker.spec import Overlay, create_body
from distromatrix.errors import InfrastructureError

# Docker starts a resolver of its own, for 40 ms, in each container of a network that it takes for
# a user's (moby: NetworkMode.IsUserDefined): not for one with this name, whose containers find
# names as on Docker's default network.
_NO_RESOLVER = "container:"
_INVALID = 400  # the status with which another version may refuse that
_MTU = "com.docker.network.driver.mtu"
_ALLOTS_IPV6 = (1, 46)  # from this version of its API on an engine finds IPv6 addresses itself
_NONE_LEFT = "address pool"  # is there of those that the engine takes its networks from
_NOT_APART = "restrict inter-container"  # communication: its host's kernel has no br_netfilter
_GONE = re.compile(r"network ([0-9a-f]{64}) not found")
_SUBNETS = 20  # attempts to find one ourselves
_PATIENCE = (0.3, 1.0, 3.0)  # seconds, until what stood on a network has let go of it


class Networks:
    """Those of one process on an engine, made when they are first wanted. Thread-safe."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = Lock()
        self._of_runs: dict[str, Future[str]] = {}
        self._of_machines: set[str] = set()
        self._kept: set[str] = set()
        self._threads = ThreadPoolExecutor()
        self._removing: list[Future[None]] = []
        self._each = False  # so it must be: containers of one network cannot be kept apart
        self._user_mode = True  # the engine's host has what that takes

    def create(
        self, spec: MachineSpec, mount: Overlay | None = None, *, staged: bool = False
    ) -> DockerMachine:
        """As DockerMachine.create, on a network. Raises CannotStartError, InfrastructureError."""
        mode = self._mode(spec)

        def closed(kept: bool) -> None:
            if kept:
                self._kept.add(mode)
            elif mode in self._of_machines:
                self._of_machines.discard(mode)
                self._remove(mode)

        body = create_body(spec, self._api.limits, mount, network=mode)
        machine = DockerMachine.create(self._api, spec, body, staged=staged or mount is not None)
        machine.at_close.append(closed)
        return machine

    def begin(self, spec: MachineSpec) -> Future[str] | None:
        """Have its run's network made, if a machine will want it: `create` waits for that."""
        run, dialect = spec.labels.get(LABEL_RUN, ""), self._api.dialect
        if not (spec.network and run and dialect.keeps_apart) or self._each:
            return None
        with self._lock:
            found = self._of_runs.get(run)
            if found is None or (found.done() and found.exception()):
                found = self._of_runs[run] = self._threads.submit(self._make, spec.labels)
            return found

    def _mode(self, spec: MachineSpec) -> str:
        dialect = self._api.dialect
        if not spec.network:
            return "none"
        if dialect.user_network and self._user_mode:
            return dialect.user_network
        if made := self.begin(spec):
            return made.result()
        if dialect.keeps_apart and not self._each:
            return "bridge"  # nothing would find a network without a run's label
        name = self._make(spec.labels)
        self._of_machines.add(name)
        return name

    def learn(self, words: str) -> bool:
        """Whether what an engine said when a machine could not be opened is a reason to try
        again: with another kind of network, or a new one for one that somebody has removed."""
        user_mode = self._api.dialect.user_network.partition(":")[0]
        if user_mode and user_mode in words:
            self._user_mode = False
        elif _NOT_APART in words:
            self._each = True
        elif gone := _GONE.search(words):
            with self._lock:
                for run, made in tuple(self._of_runs.items()):
                    if made.done() and not made.exception() and made.result() == gone[1]:
                        del self._of_runs[run]
        else:
            return False
        return True

    def end(self, run: str) -> None:
        """Begin to remove a run's. Never raises."""
        with self._lock:
            made = self._of_runs.pop(run, None)
        if made is None:
            return

        def remove() -> None:
            if not made.exception() and made.result() not in self._kept:
                self._remove(made.result())

        self._removing.append(self._threads.submit(remove))

    def close(self) -> None:
        """Remove all but what kept machines stand on. Never raises."""
        for run in tuple(self._of_runs):
            self.end(run)
        for name in tuple(self._of_machines - self._kept):
            self._remove(name)
        wait(self._removing)

    def _make(self, labels: Mapping[str, str]) -> str:
        """A new one's id. Raises InfrastructureError."""
        dialect = self._api.dialect
        apart = {} if self._each else dialect.network_options
        with self._api.calling("make a network for the machines of a run") as client:
            if dialect.keeps_apart:
                options, ipv6 = _as_the_engines_own(client)
                return _create(client, {**options, **apart}, ipv6, labels)
            try:
                return _create_isolated(client, apart, labels)
            except APIError as error:
                raise InfrastructureError(
                    f"cannot make a network for a machine: {message_of(error)}; install "
                    "slirp4netns or netavark on the engine's host",
                    transient=False,
                ) from error

    def _remove(self, name: str) -> None:
        """What cannot be removed is found by its label."""
        for pause in (*_PATIENCE, 0.0):
            try:
                with self._api.calling("remove a network") as client:
                    client.remove_network(name)
                return
            except InfrastructureError as error:
                if "active endpoints" not in str(error):
                    return
                sleep(pause)


def _name() -> str:
    return f"distromatrix-network-{secrets.token_hex(6)}"


def _create_isolated(client: Any, options: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Podman's own API alone makes one without a resolver of Podman's, as its default network is
    (https://docs.podman.io/en/latest/_static/api.html, NetworkCreateLibpod)."""
    how = {"name": _name(), "labels": dict(labels), "options": dict(options), "dns_enabled": False}
    answer = client.post(f"{client.base_url}/v4.0.0/libpod/networks/create", json=how)
    client._raise_for_status(answer)
    return str(answer.json()["id"])


def _create(client: Any, options: Mapping[str, str], ipv6: bool, labels: Mapping[str, str]) -> str:
    prefix, name = _NO_RESOLVER, _name()
    how: dict[str, Any] = {"driver": "bridge", "options": dict(options), "labels": dict(labels)}
    how |= {"enable_ipv6": True} if ipv6 else {}
    for patience in reversed(range(_SUBNETS)):
        try:
            return str(client.create_network(prefix + name, **how)["Id"])
        except APIError as error:
            said = str(error).lower()
            if _NONE_LEFT in said or ("ipam" in how and "overlap" in said and patience):
                # For tests of networks alone (RFC 2544, 198.18.0.0/15): nobody's hosts are there.
                number = secrets.randbelow(512)
                pool = IPAMPool(subnet=f"198.{18 + number // 256}.{number % 256}.0/24")
                how["ipam"] = IPAMConfig(pool_configs=[pool])
            elif prefix and error.response is not None and error.response.status_code == _INVALID:
                prefix = ""
            else:
                raise
    raise AssertionError("unreachable")


def _as_the_engines_own(client: Any) -> tuple[dict[str, str], bool]:
    """The options that its default network has and another would not have, and whether it has
    IPv6, where the engine finds addresses for that itself."""
    try:
        own = client.inspect_network("bridge")
    except NotFound:
        return {}, False
    mtu = (own.get("Options") or {}).get(_MTU)
    version = tuple(int(part) for part in client.api_version.split("."))
    return {_MTU: mtu} if mtu else {}, bool(own.get("EnableIPv6")) and version >= _ALLOTS_IPV6
