"""A client's connection to a cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from distromatrix import __version__
from distromatrix.cluster import join
from distromatrix.collect.text import one_line
from distromatrix.errors import EngineUnavailableError
from distromatrix.execute.threads import in_background
from distromatrix.load.address import address_of, in_the_clear, require_safe
from distromatrix.load.settings import Settings
from distromatrix.project.host import HostSeen
from distromatrix.project.hosts import Hosts, refused, unanswered

CONNECT_WITHIN = 30.0  # seconds; as Dask itself, for a machine that is busy
CUT_AFTER = "15s"  # of silence, a connection counts as cut (below 11 s Dask opens none)


class Cluster:
    """A cluster, connected, and its `hosts` that are known."""

    def __init__(self, address: str, client: Any) -> None:  # Dask is not typed
        self.client = client
        self.hosts = Hosts(address)
        self.again = False  # a worker may have come back under its old address
        self.offline = False  # what a client's settings ask of all hosts

    def look(self) -> tuple[HostSeen, ...]:
        """See which workers there are now; the new ones take part from now on, where they can.
        Returns those. Raises EngineUnavailableError where nobody answers."""
        there = self._call(self.client.nthreads)
        new = [address for address in there if self.again or address not in self.hosts.known]
        self.again = False
        run = partial(self.client.run, join, __version__, workers=new, on_error="return")
        return self.hosts.hear(there, self._call(run) if new else {})

    def _call(self, what: Callable[[], Any]) -> Any:
        try:
            return what()
        except (OSError, TimeoutError, RuntimeError, AttributeError) as error:
            raise EngineUnavailableError(
                unanswered(self.hosts.address, one_line(str(error), 200))
            ) from error

    def ping(self) -> None:
        """Raises EngineUnavailableError where nobody answers."""
        if self.client.status != "running":
            raise EngineUnavailableError(unanswered(self.hosts.address))


@contextmanager
def opened_cluster(text: str, *, insecure: bool = False) -> Iterator[Cluster]:
    """The cluster that the user calls so, with the workers that it has now. Raises InputError,
    EngineUnavailableError."""
    address = address_of(text)
    if not insecure:
        require_safe([address])
    client = _connected(address)
    cluster = Cluster(address, client)
    try:
        cluster.look()
        if not insecure:
            require_safe(cluster.hosts.known)
        yield cluster
    finally:
        with suppress(Exception):
            client.close(timeout=2)


@contextmanager
def cluster_of(settings: Settings, warn: Callable[[str], None]) -> Iterator[Cluster]:
    """The cluster that the settings name, on which cells can run; of workers on which they cannot
    it `warn`s. Raises InputError, EngineUnavailableError."""
    with opened_cluster(settings.cluster, insecure=settings.insecure_cluster) as cluster:
        cluster.offline = settings.offline
        if in_the_clear([cluster.hosts.address, *cluster.hosts.known]):
            warn(f"all goes unencrypted to {cluster.hosts.address}, for its network to read")
        for host in cluster.hosts.known.values():
            if host.fault:
                warn(f"no cell runs on {host.name}: {host.fault}")
        cluster.hosts.require()
        yield cluster


def _connected(address: str) -> Any:
    """Dask's client. Raises EngineUnavailableError."""
    try:
        import dask
        import distributed
    except ImportError:
        raise EngineUnavailableError(
            "clusters need Dask: `pip install 'distromatrix[cluster]'`"
        ) from None
    for name in ("distributed", "distributed.client", "distributed.core", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    dask.config.set({"distributed.comm.timeouts.tcp": CUT_AFTER})
    answer: SimpleQueue[Any] = SimpleQueue()

    def connect() -> None:  # it waits for ever for who listens and says nothing
        try:
            answer.put(
                distributed.Client(  # type: ignore[no-untyped-call]
                    address, timeout=CONNECT_WITHIN, set_as_default=False
                )
            )
        except Exception as error:  # noqa: BLE001 - of many kinds, by what is wrong
            answer.put(error)

    in_background(connect)
    try:
        found = answer.get(timeout=CONNECT_WITHIN + 2)
    except Empty:
        found = TimeoutError("something listens there and is no scheduler")
    if isinstance(found, Exception):
        raise EngineUnavailableError(refused(address, one_line(str(found), 200))) from found
    return found
