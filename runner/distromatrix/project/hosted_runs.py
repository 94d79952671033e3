"""All runs that a host has a part in."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Condition, Lock

from distromatrix.errors import DistromatrixError, InputError
from distromatrix.execute.sweep import sweep
from distromatrix.execute.threads import in_background
from distromatrix.files.user_folders import cache_folder
from distromatrix.load.settings import load_settings
from distromatrix.project.hosted import CLUSTER, KIND, LOOK, HostedRun, Orders, Tell
from distromatrix.project.session import opened_engine
from distromatrix.record.folder import remove_dead

ORDERS_WITHIN = 60.0  # seconds in which a client says what a batch is to do
LATE = 10.0  # seconds in which an engine opens what a run asked for that was cut short
UNUSED_FOR = 600.0  # seconds after which what an idle run has here goes


class HostedRuns:
    """See above. Its methods may be called from several threads; `order` does not wait."""

    def __init__(self) -> None:
        self._runs: dict[str, HostedRun] = {}
        self._making = Lock()  # of these
        self._orders: dict[str, Orders] = {}  # by token
        self._changed = Condition()  # of these

    def execute(self, run: str, token: str, tell: Tell, wanted: Callable[[], bool]) -> str:
        """Carry out the orders of a batch, which the client gives for its `token`, as long as it
        is `wanted`. Returns why this host cannot run any more, '' where it can."""
        try:
            orders = self._ordered(token, wanted)
            if orders is None or not orders.plan.cells:
                return ""
            return self._hosted(run, orders, tell).execute(orders, token, tell, wanted)
        except (DistromatrixError, OSError) as error:
            return str(error) or repr(error)
        finally:
            self._leave(run, wanted)

    def order(self, token: str, orders: Orders) -> None:
        """Here are the orders that a batch has asked for."""
        with self._changed:
            self._orders[token] = orders
            self._changed.notify_all()

    def of(self, run: str) -> HostedRun:
        """What is here of a run. Raises KeyError."""
        return self._runs[run]

    def end(self, run: str) -> None:
        """A run is over: nothing of it stays."""
        with self._making:
            ended = self._runs.pop(run, None)
        if ended is not None:
            _close(ended)

    def forget(self, lives: Callable[[str], bool]) -> None:
        """End what is idle of runs that do not live any more."""
        with self._making:
            dead = [key for key, one in self._runs.items() if one.idle() and not lives(key)]
            gone = [self._runs.pop(key) for key in dead]
        for one in gone:
            with suppress(OSError):
                _close(one)

    def close(self) -> None:
        """End everything, at once."""
        for thread in [in_background(one.close) for one in self._runs.values()]:
            thread.join()

    def _ordered(self, token: str, wanted: Callable[[], bool]) -> Orders | None:
        until = time.monotonic() + ORDERS_WITHIN
        with self._changed:
            while token not in self._orders and wanted() and time.monotonic() < until:
                self._changed.wait(LOOK)
            return self._orders.pop(token, None)

    def _hosted(self, run: str, orders: Orders, tell: Tell) -> HostedRun:
        with self._making:
            if run not in self._runs:
                settings = replace(load_settings(), jobs=None)
                settings = replace(settings, offline=settings.offline or orders.offline)
                self._runs[run] = HostedRun(orders.project, settings, tell)
            self._runs[run].used = time.monotonic()
            return self._runs[run]

    def _leave(self, run: str, wanted: Callable[[], bool]) -> None:
        """Where its client is gone, so is what is kept for it."""
        with self._making:
            now = time.monotonic()
            old = [
                key
                for key, one in self._runs.items()
                if one.idle() and (now - one.used > UNUSED_FOR or (key == run and not wanted()))
            ]
            gone = [self._runs.pop(key) for key in old]
        for one in gone:
            with suppress(OSError):
                _close(one)


def _close(run: HostedRun) -> None:
    """End a run; what an engine was too slow to remove by then is swept later."""
    if not run.close():

        def sweep_later() -> None:
            run.wait()
            time.sleep(LATE)
            sweep_host()

        in_background(sweep_later)


def sweep_host() -> None:
    """Remove what dead runs of clients left on this host, also those whose engine was away."""
    for root in (cache_folder() / CLUSTER).glob("*"):
        with suppress(InputError):
            remove_dead(root, KIND)
    with opened_engine(load_settings()) as engine:
        sweep(engine)
