"""A run of a client that ends on a host whose engine is slow."""

from __future__ import annotations

from threading import Event
from typing import Any, cast

import pytest

from distromatrix.project import hosted_runs
from distromatrix.project.hosted import HostedRun
from distromatrix.project.hosted_runs import HostedRuns


class Slow:
    """A run whose machines are closed late, or at once."""

    def __init__(self, *, in_time: bool) -> None:
        self.in_time = in_time
        self.closed = Event()

    def close(self) -> bool:
        return self.in_time

    def wait(self) -> None:
        self.closed.wait(60)


@pytest.mark.parametrize("in_time", [True, False])
def test_what_is_closed_late_is_swept_once_it_is(
    monkeypatch: pytest.MonkeyPatch, in_time: bool
) -> None:
    swept = Event()
    monkeypatch.setattr(hosted_runs, "sweep_host", swept.set)
    runs, slow = HostedRuns(), Slow(in_time=in_time)
    runs._runs["r"] = cast(HostedRun, cast(Any, slow))
    runs.end("r")
    assert not swept.is_set()
    slow.closed.set()
    assert swept.wait(0.1 if in_time else 60) is not in_time
