"""What runs in a Dask worker: the runs that it has a part in, and what the client calls there."""

from __future__ import annotations

import asyncio
import time
from secrets import token_hex
from typing import Any, cast

from distributed import Status, Worker, WorkerPlugin

from distromatrix import __version__
from distromatrix.execute.threads import in_background
from distromatrix.project.host import look
from distromatrix.project.hosted import Orders
from distromatrix.project.hosted_runs import HostedRuns, sweep_host

LOOK_EVERY = 5.0  # seconds between two looks whether the clients of runs are there


def topic_of(run: str) -> str:
    """Where workers tell what becomes of a run."""
    return f"distromatrix-{run}"


class Host(WorkerPlugin):
    """Our part of a worker: the runs that it has a part in."""

    name = "distromatrix"

    def __init__(self) -> None:
        self.runs = HostedRuns()
        self._worker: Any = None  # until setup

    def setup(self, worker: Worker) -> None:
        """See WorkerPlugin."""
        self._worker = worker
        in_background(self._watch)

    def _watch(self) -> None:
        """End runs whose client is gone: a living one holds on to its tasks, also the done."""

        def lives(run: str) -> bool:
            return any(key.startswith(f"cells-{run}-") for key in tuple(here.state.tasks))

        here = self._worker
        while here.status in (Status.running, Status.paused):
            time.sleep(LOOK_EVERY)
            self.runs.forget(lives)

    async def teardown(self, worker: Worker) -> None:
        """End everything: the process ends within 30 s."""
        del worker
        await asyncio.to_thread(self.runs.close)

    def run(self, run: str, number: int, generation: int) -> None:
        """Ask for a batch's orders, and carry them out."""
        here, key, token = self._worker, self._worker.get_current_task(), token_hex(8)
        head = {"batch": number, "generation": generation, "token": token, "worker": here.address}

        def tell(message: dict[str, Any]) -> None:
            here.log_event(topic_of(run), head | message)

        def wanted() -> bool:
            task = here.state.tasks.get(key)
            alive = here.status in (Status.running, Status.paused)
            return alive and task is not None and task.state == "executing"

        tell({"kind": "begin"})
        tell({"kind": "end", "gone": self.runs.execute(run, token, tell, wanted)})


def _here(dask_worker: Worker) -> Host:
    return cast("Host", dask_worker.plugins[Host.name])


async def join(version: str, dask_worker: Worker) -> dict[str, Any]:
    """What this worker is (`look`). One of the client's `version` takes part from now on: it
    announces its resources, and removes what dead runs left here, also those whose engine was
    away."""
    found = await asyncio.to_thread(look)
    if version == __version__ and not found["fault"]:
        if Host.name not in dask_worker.plugins:
            await dask_worker.plugin_add(Host(), name=Host.name)
            await dask_worker.set_resources(**found["resources"])
        in_background(sweep_host)
    return found | {"threads": dask_worker.state.nthreads}


async def order(token: str, orders: Orders, dask_worker: Worker) -> None:
    """See HostedRuns.order."""
    _here(dask_worker).runs.order(token, orders)


async def call(what: str, run: str, *args: Any, dask_worker: Worker) -> Any:
    """Call `receive`, `read` or `stop` of a HostedRun."""
    return await asyncio.to_thread(getattr(_here(dask_worker).runs.of(run), what), *args)


async def end(run: str, dask_worker: Worker) -> None:
    """See HostedRuns.end."""
    if Host.name in dask_worker.plugins:
        await asyncio.to_thread(_here(dask_worker).runs.end, run)
