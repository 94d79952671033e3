"""A plan's jobs as GitHub reads them, and as people do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from distromatrix.cli.output import echo

if TYPE_CHECKING:
    from distromatrix.plan.shards import ShardJob

# GitHub counts a job's outputs in UTF-16, and takes 1 MB of them
# (docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax, jobs.*.outputs);
# the rest is for what else the job puts out.
_MOST_OUTPUT = 900_000 // 2  # characters


def github_matrix(jobs: Sequence[ShardJob]) -> str:
    """What `strategy.matrix` takes through `fromJSON`, on one line. Where it would be too long,
    the ids of the cells are left out, and a line on stderr says so: `run --plan` needs none."""
    text = _matrix(jobs, cells=True)
    if len(text) > _MOST_OUTPUT:
        echo(
            "warning: the jobs are listed without `cells`, which would exceed GitHub's limit of "
            "1 MB for outputs (a plan file written with --save lists them)",
            err=True,
        )
        text = _matrix(jobs, cells=False)
    return text


def _matrix(jobs: Sequence[ShardJob], *, cells: bool) -> str:
    return json.dumps({"include": [_entry(job, cells=cells) for job in jobs]})


def _entry(job: ShardJob, *, cells: bool) -> dict[str, Any]:
    return {
        "name": job.name,
        "runner": job.runner[0] if len(job.runner) == 1 else list(job.runner),
        **({"cells": list(job.cells)} if cells else {}),
        "shard": str(job.shard),
        "guests": job.guests,
    }


def show_jobs(jobs: Sequence[ShardJob], seconds: Mapping[str, float]) -> None:
    """A line a job, with how long it is expected to take."""
    if not jobs:
        echo("0 jobs: nothing to run")
        return
    width = max(len(job.name) for job in jobs)
    wide = max(len(" ".join(job.runner)) for job in jobs)
    times = [sum(seconds.get(cell, 0.0) for cell in job.cells) for job in jobs]
    for job, time in zip(jobs, times, strict=True):
        echo(f"{job.name:{width}}  {' '.join(job.runner):{wide}}  {_about(time)}")
    many = f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}"
    echo(f"{many}, the longest {_about(max(times))}, together {_about(sum(times))}")


def _about(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
