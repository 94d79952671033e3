"""A cluster of hosts, by Dask's `distributed`: the same run, its cells carried out elsewhere.

The client plans, decides and reports as ever; only who does the work is another (`team`). It
submits tasks, which are some cells of one distro each (`plan.batches`), and Dask gives them to
workers that have what they need. There the same `Executor` runs these cells (`project.hosted`).
What a cell made comes back as bytes that nobody believes (`merge.unpack`).
"""

from typing import Any


async def join(version: str, dask_worker: Any) -> Any:
    """See worker.join: what a worker imports for it the first time takes seconds, in which it must
    go on to answer."""
    import asyncio
    from importlib import import_module

    here = await asyncio.to_thread(import_module, "distromatrix.cluster.worker")
    return await here.join(version, dask_worker)


def run_batch(run: str, number: int, generation: int) -> None:
    """A task: some cells of a run. It is here since the scheduler, too, imports where it is."""
    from distributed import get_worker

    worker: Any = get_worker()
    worker.plugins["distromatrix"].run(run, number, generation)


def forget(topic: str, dask_scheduler: Any) -> None:
    """Have the scheduler forget what was told; it keeps the last thousand messages else."""
    dask_scheduler._broker._topics.pop(topic, None)
