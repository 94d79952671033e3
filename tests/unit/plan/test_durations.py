"""Estimates by the durations of earlier runs."""

from test_shards import cell, plan_of

from distromatrix.plan.durations import Durations, informed


def test_what_is_unknown_takes_as_long_as_what_is_most_like_it() -> None:
    known = Durations(
        cells={
            "a/unit/py": (1.0, 3.0, 2.0),
            "b/unit": (10.0,),
            "c/docs": (100.0, 300.0),
        }
    )
    names = ["a/unit/py", "x/unit/py", "x/unit", "x/unit/other", "x/docs", "x/new"]
    plan = plan_of(*map(cell, names), cell("x/never", None))
    assert known.estimate(plan) == {
        "a/unit/py": 2.0,
        "x/unit/py": 2.0,
        "x/unit": 10.0,
        "x/unit/other": 6.0,
        "x/docs": 200.0,
        "x/new": 10.0,
    }


def test_a_guess_for_all_of_them_is_no_knowledge() -> None:
    plan = plan_of(cell("a/b"), cell("c/d"))
    assert informed(Durations().estimate(plan)) == {}
    assert informed({}) == {}
    known = Durations(cells={"a/b": (1.0,)}).estimate(plan)
    assert informed(known) == known == {"a/b": 1.0, "c/d": 1.0}


def test_where_nothing_is_known_all_are_alike() -> None:
    assert set(Durations().estimate(plan_of(cell("a/b"), cell("c/d"))).values()) == {30.0}


def test_durations_of_another_matrix_are_known_for_that() -> None:
    known = Durations(cells={"x/y": (1.0,)})
    assert known.knows(plan_of(cell("x/y"), cell("c/d")))
    assert not known.knows(plan_of(cell("c/d")))
