"""A worker's place at the bench, passed on from one test to the next: a check takes a few
milliseconds, and asking for a place anew would cost it one or two."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from time import monotonic

from distromatrix.engines.contract import Address
from distromatrix.testing.bench.remote import RemoteBench
from distromatrix.testing.contract import MachineRequest

LONGEST = 0.1  # seconds after which others that wait come first


class Lease(RemoteBench):
    """See Bench. A worker runs one test after the other. Where the next wants a machine too
    (`next_too`), it has the place of the one before, in whose name it was asked for; after
    LONGEST it is given back in any case, and asked for anew."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._leasing = Lock()
        self._next_too = False
        self._holder = ""  # the test in whose name there is a place; '' where there is none
        self._since = 0.0
        self._shared: dict[MachineRequest, Address] = {}
        self._ends = False  # with this test, whatever comes next

    def next_too(self, wanted: bool) -> None:
        """Before a test is `done`: whether the next, which follows at once, wants machines."""
        self._next_too = wanted

    def machine(self, want: MachineRequest, test: str) -> Address:
        """See Bench."""
        with self._leasing:
            holder = self._held_by(test)
            address = self._shared.get(want)
        if address is None:
            try:
                address = super().machine(want, holder)
            except BaseException:
                self._ends = True
                raise
            with self._leasing:
                self._shared[want] = address
        return address

    def fresh(self, want: MachineRequest, test: str) -> Address:
        """See Bench."""
        with self._leasing:
            holder = self._held_by(test)
            self._ends = True
        return super().fresh(want, holder)

    def reboot(self, name: str, test: str) -> int:
        """See Bench."""
        boots = super().reboot(name, self._held_by(test))
        with self._leasing:
            for want, address in self._shared.items():
                if address.name == name:
                    self._shared[want] = replace(address, boots=boots)
        return boots

    def done(self, test: str) -> None:  # noqa: ARG002 - whoever holds, this one ran last
        """See Bench."""
        with self._leasing:
            fresh_enough = monotonic() - self._since < LONGEST
            if not self._holder or (self._next_too and fresh_enough and not self._ends):
                return
            holder, self._holder = self._holder, ""
            self._shared, self._ends = {}, False
        super().done(holder)

    def _held_by(self, test: str) -> str:
        if not self._holder:
            self._holder, self._since = test, monotonic()
        return self._holder
