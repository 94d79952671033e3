"""Which cell is begun when."""

from __future__ import annotations

from typing import Any

from executing import cell

from distromatrix.execute.queue.order import Order, Task, by_image, in_order

CELLS = tuple(cell(f"{distro}/{n}") for n in range(6) for distro in "ab")


def ids(tasks: tuple[Task, ...]) -> list[str]:
    return [task.id for task in tasks]


def test_without_a_seed_the_order_is_the_plans_round_by_round() -> None:
    assert ids(in_order(CELLS, 1, None)) == [c.id for c in CELLS]
    assert ids(in_order(CELLS[:2], 2, None)) == [
        "a/0/repeat-1",
        "b/0/repeat-1",
        "a/0/repeat-2",
        "b/0/repeat-2",
    ]


def test_what_takes_longest_is_begun_first_and_what_is_alike_as_planned() -> None:
    seconds = {"a/2": 9.0, "b/4": 30.0, "b/5": 9.0, "a/0": 1.0, "gone/x": 99.0}
    first = ["b/4", "a/2", "b/5", "a/0"]
    rest = [c.id for c in CELLS if c.id not in first]
    assert ids(in_order(CELLS, 1, None, seconds)) == [*first, *rest]
    assert ids(in_order(CELLS[:4], 2, None, {"b/1": 5.0})) == [
        f"{cell}/repeat-{number}" for number in (1, 2) for cell in ("b/1", "a/0", "b/0", "a/1")
    ]


def test_a_seed_goes_before_what_takes_long() -> None:
    assert ids(in_order(CELLS, 1, 7, {"b/4": 30.0})) == EXPECTED


def test_images_are_had_in_the_order_of_their_longest_cells() -> None:
    groups = by_image(in_order(CELLS, 1, None, {"b/3": 9.0}))
    assert [cells[0].id for cells in groups.values()] == ["b/3", "a/0"]


def test_a_seed_means_one_order_and_another_seed_another() -> None:
    seven = ids(in_order(CELLS, 1, 7))
    assert seven == ids(in_order(CELLS, 1, 7)) != ids(in_order(CELLS, 1, 8))
    assert sorted(seven) == sorted(c.id for c in CELLS)
    assert seven != [c.id for c in CELLS]
    # what a seed means must not change from one version, or Python, to the next
    assert seven == EXPECTED


EXPECTED = ["b/5", "a/5", "b/0", "a/2", "a/4", "a/0", "b/1", "b/3", "a/3", "a/1", "b/4", "b/2"]


def test_two_cells_keep_their_order_whichever_others_are_selected() -> None:
    some = CELLS[::3]
    names = {c.id for c in some}
    assert ids(in_order(some, 1, 7)) == [i for i in ids(in_order(CELLS, 1, 7)) if i in names]


def test_each_round_is_shuffled_anew_after_the_one_before() -> None:
    tasks = in_order(CELLS, 2, 7)
    first, second = tasks[: len(CELLS)], tasks[len(CELLS) :]
    assert {t.repeat for t in first} == {1}
    assert [t.cell.id for t in first] != [t.cell.id for t in second]


def taken(order: Order, times: int) -> list[str]:
    tasks = [order.take() for _ in range(times)]
    return [task.id for task in tasks if task is not None]


def test_images_come_in_the_order_of_their_first_cells() -> None:
    groups = by_image(in_order(CELLS, 2, None))
    assert [[c.id for c in cells][:2] for cells in groups.values()] == [
        ["a/0", "a/1"],
        ["b/0", "b/1"],
    ]


def test_cells_whose_image_is_there_do_not_wait_for_others() -> None:
    tasks = in_order(CELLS[:4], 1, None)
    order = Order(tasks, strict=False)
    a, b = by_image(tasks)
    assert order.settle(b, there=True) == 2
    assert taken(order, 1) == ["b/0"]
    assert order.settle(a, there=True) == 2
    assert taken(order, 3) == ["a/0", "a/1", "b/1"]


def test_in_a_shuffled_run_every_cell_waits_for_its_turn() -> None:
    tasks = in_order(CELLS[:4], 1, None)  # a b a b
    order = Order(tasks, strict=True)
    a, b = by_image(tasks)
    assert order.settle(b, there=True) == 0
    assert order.settle(a, there=True) == 4
    assert taken(order, 4) == ["a/0", "b/0", "a/1", "b/1"]


def test_cells_whose_image_cannot_be_had_hold_up_nobody() -> None:
    tasks = in_order(CELLS[:4], 1, None)
    for strict in (True, False):
        order = Order(tasks, strict=strict)
        a, b = by_image(tasks)
        begun = order.settle(b, there=True) + order.settle(a, there=False)
        assert taken(order, begun) == ["b/0", "b/1"]


def guests_and_containers(**options: Any) -> Order:
    cells = [cell(f"a/{n}", engine="qemu") for n in range(4)] + [cell("a/x"), cell("a/y")]
    tasks = in_order(cells, 1, None)
    order = Order(tasks, **options)
    for image in by_image(tasks):
        order.settle(image, there=True)
    return order


def test_guests_for_which_there_is_no_memory_let_containers_go_first() -> None:
    order = guests_and_containers(strict=False, guests=2)
    first = order.take()
    assert first is not None
    assert [first.id, *taken(order, 2)] == ["a/0", "a/1", "a/x"]
    order.done(first)
    assert taken(order, 2) == ["a/2", "a/y"]
    assert taken(order, 1) == ["a/3"]  # there is nothing else: it waits for memory itself


def test_in_a_shuffled_run_guests_keep_their_turn() -> None:
    order = guests_and_containers(strict=True, guests=1)
    assert taken(order, 6) == ["a/0", "a/1", "a/2", "a/3", "a/x", "a/y"]


def test_guests_without_memory_wait_while_the_image_of_a_container_may_come() -> None:
    cells = [cell(f"a/{n}", engine="qemu") for n in range(3)] + [cell("a/x")]
    tasks = in_order(cells, 1, None)
    order = Order(tasks, strict=False, guests=1)
    guests, container = by_image(tasks)
    assert order.settle(guests, there=True) == 3
    first = order.take()
    assert first is not None
    assert taken(order, 2) == []  # nobody waits where a container may be begun
    assert order.settle(container, there=True) == 3
    assert taken(order, 2) == ["a/x", "a/1"]
    assert order.done(first) == 0
    assert taken(order, 1) == ["a/2"]
