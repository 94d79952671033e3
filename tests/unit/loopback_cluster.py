"""A cluster for tests without hosts of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import LocalCluster


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """A scheduler and workers on loopback, in this process."""
    make: Any = LocalCluster  # without types
    with make(
        n_workers=workers,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=":0",
        worker_dashboard_address=None,
    ) as made:
        yield made.scheduler_address
