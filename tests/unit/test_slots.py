"""How many cells are under test at once."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Event, Thread

import pytest

from distromatrix.execute.slots import Cancelled, Slots
from distromatrix.model import Cell

GIB = 1024**3


def cell(cpus: float = 1.0, memory: int = GIB) -> Cell:
    return Cell(
        id="d/s",
        distro="d",
        suite="s",
        engine="fake",
        reason="",
        run="true",
        cpus=cpus,
        memory=memory,
    )


def most_at_once(slots: Slots, what: Cell, wanted: int) -> int:
    """Begin `wanted` holders; how many get a place while none gives one back?"""
    leave, entered = Event(), []

    def hold() -> None:
        try:
            with slots.hold(what):
                entered.append(1)
                leave.wait()
        except Cancelled:
            pass

    threads = [Thread(target=hold) for _ in range(wanted)]
    for thread in threads:
        thread.start()
        thread.join(0.02)
    count = len(entered)
    leave.set()
    for thread in threads:
        thread.join()
    assert len(entered) == wanted  # and all get one in the end
    return count


@pytest.mark.parametrize(
    ("jobs", "what", "expected"),
    [
        (None, cell(), 4),
        (None, cell(cpus=2), 2),
        (None, cell(cpus=99), 1),  # more than there is: alone
        (2, cell(), 2),
        (6, cell(), 6),  # the user's own number beats the cpus
        (6, cell(memory=4 * GIB), 2),  # but never the memory
    ],
)
def test_places_are_bounded(jobs: int | None, what: Cell, expected: int) -> None:
    assert most_at_once(Slots(jobs, cpus=4, memory=10 * GIB), what, 7) == expected


def test_those_who_wait_are_let_go_when_the_run_ends() -> None:
    slots = Slots(1, cpus=1, memory=GIB)
    ended = Event()

    def wait() -> None:
        with pytest.raises(Cancelled), slots.hold(cell()):
            pass
        ended.set()

    with slots.hold(cell()):
        thread = Thread(target=wait)
        thread.start()
        slots.cancel()
        thread.join(5)
    assert ended.is_set()


def test_machines_are_opened_for_free_places_first_and_one_ahead_when_all_are_taken() -> None:
    slots = Slots(2, cpus=2, memory=10 * GIB)
    slots.most_of([cell()] * 9)
    begun, leave = [], Event()
    third = Event()

    def open_third() -> None:
        with slots.turn():
            begun.append(1)
            third.set()
            leave.wait(5)

    with ExitStack() as stack:
        turns = [stack.enter_context(slots.turn()) for _ in range(2)]
        thread = Thread(target=open_third)
        thread.start()
        stack.enter_context(turns[0].hold(cell()))
        thread.join(0.05)
        assert not begun  # one place is free, and the second machine is opened for it
        stack.enter_context(turns[1].hold(cell()))
        assert third.wait(5)
        leave.set()
        thread.join()


def test_turns_are_served_in_the_order_in_which_tickets_were_drawn() -> None:
    slots = Slots(4, cpus=4, memory=GIB)
    slots.most_of([cell()] * 4)
    first, second = slots.ticket(), slots.ticket()
    served = []

    def serve(ticket: object, name: str) -> None:
        with slots.turn(ticket):
            served.append(name)

    late = Thread(target=serve, args=(second, "second"))
    late.start()
    late.join(0.1)
    assert served == []  # there is room for it, but it is not its turn
    serve(first, "first")
    late.join(20)
    assert served == ["first", "second"]


def test_a_ticket_that_is_dropped_holds_up_nobody() -> None:
    slots = Slots(1, cpus=1, memory=GIB)
    dropped, next_one = slots.ticket(), slots.ticket()
    slots.drop(dropped)
    slots.drop(dropped)
    with slots.turn(next_one):
        pass
    with slots.turn(next_one):  # tried again
        pass
