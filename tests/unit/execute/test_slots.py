"""How many cells are under test at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import pytest

from distromatrix.execute.queue.memory import free_memory
from distromatrix.execute.queue.slots import Cancelled, Slots
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
        stack.enter_context(slots.hold(cell(), turns[0]))
        thread.join(0.05)
        assert not begun  # one place is free, and the second machine is opened for it
        stack.enter_context(slots.hold(cell(), turns[1]))
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


# --- guests' memory ---------------------------------------------------------------------------


def begun(work: Callable[[], None]) -> Thread:
    thread = Thread(target=work)
    thread.start()
    thread.join(0.05)
    return thread


def test_a_guest_is_not_opened_before_there_is_memory_for_it() -> None:
    slots = Slots(4, cpus=4, memory=10 * GIB)
    slots.most_of([cell()] * 4)
    opened = Event()
    guest = cell(memory=4 * GIB)

    def third() -> None:
        with slots.turn(guest=guest):
            opened.set()

    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(slots.turn(guest=guest))
        thread = begun(third)
        assert not opened.is_set()
    thread.join(5)
    assert opened.is_set()


def test_a_guests_memory_is_its_own_until_it_is_closed() -> None:
    slots = Slots(2, cpus=2, memory=10 * GIB)
    slots.most_of([cell()] * 2)
    opened = Event()
    guest = cell(memory=6 * GIB)
    with slots.turn(guest=guest) as turn, slots.hold(guest, turn):
        turn.open = True

    def second() -> None:
        with slots.turn(guest=guest):
            opened.set()

    thread = begun(second)
    assert not opened.is_set()  # the first has no place any more, and is not gone yet
    slots.give_back(turn)
    thread.join(5)
    assert opened.is_set()


def test_guests_together_get_no_more_than_is_free_and_a_big_one_is_alone() -> None:
    slots = Slots(4, cpus=4, memory=100 * GIB, guests=10 * GIB)
    slots.most_of([cell()] * 4)
    opened = Event()

    def big() -> None:
        with slots.turn(guest=cell(memory=50 * GIB)):
            opened.set()

    with slots.turn(guest=cell(memory=GIB)):
        thread = begun(big)
        assert not opened.is_set()
    thread.join(5)
    assert opened.is_set()


def test_a_container_that_waits_for_a_guests_memory_lets_that_guest_go_first() -> None:
    slots = Slots(2, cpus=2, memory=10 * GIB)
    slots.most_of([cell()] * 2)
    tested, leave = Event(), Event()
    guest, container = cell(memory=6 * GIB), cell(memory=5 * GIB)

    def test_container() -> None:
        with slots.turn() as turn, slots.hold(container, turn):
            tested.set()
            leave.wait(5)

    with slots.turn(guest=guest) as turn:
        thread = begun(test_container)
        assert not tested.is_set()  # the guest has the memory already, and no place yet
        with slots.hold(guest, turn):
            assert not tested.is_set()
    thread.join(0.05)
    assert tested.wait(5)
    leave.set()
    thread.join(5)


def test_a_guest_that_is_kept_has_its_memory_and_holds_up_nobody() -> None:
    slots = Slots(4, cpus=4, memory=10 * GIB)
    slots.most_of([cell()] * 4)
    guest, opened = cell(memory=6 * GIB), Event()
    with slots.turn(guest=guest) as turn, slots.hold(guest, turn):
        turn.open = turn.kept = True
    slots.give_back(turn)

    def third() -> None:
        with slots.turn(guest=cell()):
            opened.set()

    with (
        slots.turn(guest=guest) as turn,
        slots.hold(guest, turn),
    ):  # alone, beside the one that is kept
        thread = begun(third)
        assert not opened.is_set()
    thread.join(5)
    assert opened.is_set()


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, 8 * GIB),
        ("0::/a/b\n", {"a/memory.max": 3, "a/memory.current": 2, "a/b/memory.max": "max"}, 2),
        ("4:memory:/x\n0::/\n", {"memory/memory.limit_in_bytes": 4}, 4),
        ("4:cpu,memory:/x\n", {"memory/x/memory.limit_in_bytes": 2}, 2),
        ("4:cpu:/x\n", {"memory/x/memory.limit_in_bytes": 2}, 8 * GIB),
        ("0::/a\n", {"a/memory.max": 1, "a/memory.current": 5}, 0),
    ],
)
def test_free_is_what_the_host_and_ones_groups_leave(
    tmp_path: Path, own: str, files: dict[str, int | str], expected: int
) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    (proc / "self/cgroup").write_text(own)
    for name, value in files.items():
        file = groups / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        used = "usage_in_bytes" if "limit" in name else "current"
        if "current" not in name and not (file.parent / f"memory.{used}").exists():
            (file.parent / f"memory.{used}").write_text("1\n")
        # A byte of what is used is a cache, which goes when others want its place.
        stat = "total_inactive_file" if "limit" in name else "inactive_file"
        (file.parent / "memory.stat").write_text(f"anon 7\n{stat} 1\n")
    assert free_memory(proc, groups) == expected


def test_where_nothing_is_said_of_memory_nothing_is_known(tmp_path: Path) -> None:
    assert free_memory(tmp_path, tmp_path) is None


@pytest.mark.parametrize(
    ("jobs", "cells", "most"),
    [
        (None, [cell()] * 9, 4),
        (None, [cell(memory=4 * GIB)] * 9, 2),  # for more there is no memory
        (8, [cell(memory=4 * GIB)] * 9, 2),
        (8, [cell(memory=4 * GIB)] * 8 + [cell(memory=GIB)], 8),
        (8, [cell(memory=99 * GIB)] * 9, 1),
        (8, [], 1),
    ],
)
def test_no_more_are_told_of_than_there_is_memory_for(
    jobs: int | None, cells: list[Cell], most: int
) -> None:
    assert Slots(jobs, cpus=4, memory=10 * GIB).most_of(cells) == most


def test_guests_have_memory_for_as_many_as_fit_whichever_they_are() -> None:
    slots = Slots(8, cpus=8, memory=100 * GIB, guests=10 * GIB)
    assert slots.guests_of([cell(memory=2 * GIB)] * 9) == 4
    assert slots.guests_of([cell(memory=GIB), cell(memory=4 * GIB)]) == 2
    assert slots.guests_of([cell(memory=99 * GIB)]) == 1
    assert slots.guests_of([]) >= 1
    assert Slots(8, cpus=8, memory=5 * GIB, guests=10 * GIB).guests_of([cell(memory=2 * GIB)]) == 2
