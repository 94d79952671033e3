"""A plan cut into shards and jobs: every cell once, the same everywhere, about equally long."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distromatrix.errors import InputError
from distromatrix.model import Cell, Distro, Plan, Product, Pull, Shard, Verdict
from distromatrix.plan.balance import balanced, bound, longest_first, makespan
from distromatrix.plan.runners import runner_of
from distromatrix.plan.shards import jobs, shard_of, shards

HOSTED = {"docker": ("ubuntu-latest",)}
KVM = {"docker": ("ubuntu-latest",), "qemu": ("self-hosted", "kvm")}


def cell(name: str, engine: str | None = "docker") -> Cell:
    distro, suite, *variant = name.split("/")
    return Cell(
        id=name,
        distro=distro,
        suite=suite,
        variant=variant[0] if variant else None,
        engine=engine,
        reason="",
        verdict=None if engine else Verdict.SKIPPED,
        run="true",
    )


def plan_of(*cells: Cell, runners: dict[str, tuple[str, ...]] | None = None) -> Plan:
    distros = dict.fromkeys(c.distro for c in cells)
    return Plan(
        matrix=Path("matrix/default.yaml"),
        root=Path(),
        product=Product(path=Path()),
        cells=cells,
        distros=tuple(
            Distro(
                name=name,
                title=name,
                family="other",
                package_manager="none",
                libc="glibc",
                image=(Pull(ref=f"example.org/{name}:1"),),
            )
            for name in distros
        ),
        runners=HOSTED if runners is None else runners,
    )


def many(distros: int, suites: int) -> Plan:
    return plan_of(*(cell(f"d{d}/s{s}") for d in range(distros) for s in range(suites)))


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, dict[str, float], int]:
    """A plan of containers, guests and what runs nowhere; seconds of some; a number of shards."""
    engines = st.sampled_from(["docker", "docker", "qemu", "vagrant", None])
    names = draw(
        st.lists(
            st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=120, unique=True
        )
    )
    cells = [cell(f"d{d}/s{s}", draw(engines)) for d, s in names]
    runners = {**KVM, "vagrant": draw(st.sampled_from([KVM["docker"], KVM["qemu"], ("big",)]))}
    known = st.floats(0, 1e5, allow_nan=False)
    seconds = {c.id: draw(known) for c in cells if draw(st.booleans())}
    labels = len({runners[c.engine] for c in cells if c.engine})
    return plan_of(*cells, runners=runners), seconds, draw(st.integers(max(labels, 1), 256))


@given(plans())
@settings(max_examples=150, deadline=None)
def test_every_cell_is_in_exactly_one_shard_and_no_shard_mixes_runners(
    given_: tuple[Plan, dict[str, float], int],
) -> None:
    plan, seconds, of = given_
    parts = shards(plan, seconds, of)
    assert len(parts) == of
    assert Counter(c.id for part in parts for c in part) == Counter(c.id for c in plan.cells)
    if of > 1:
        for part in parts:
            assert len({plan.runners[c.engine] for c in part if c.engine}) <= 1
    order = {c.id: index for index, c in enumerate(plan.cells)}
    assert all([*part] == sorted(part, key=lambda c: order[c.id]) for part in parts)
    again = [shard_of(plan, seconds, Shard(k + 1, of)).cells for k in range(of)]
    assert again == [*parts]


@given(plans(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_shards_do_not_depend_on_the_order_of_what_is_known(
    given_: tuple[Plan, dict[str, float], int], chance: random.Random
) -> None:
    plan, seconds, of = given_
    entries = [*seconds.items()]
    chance.shuffle(entries)
    turned = replace(plan, runners=dict(reversed(plan.runners.items())))
    assert shards(turned, dict(entries), of) == shards(plan, seconds, of)


@given(plans())
@settings(max_examples=100, deadline=None)
def test_jobs_have_all_cells_and_names_of_their_own(
    given_: tuple[Plan, dict[str, float], int],
) -> None:
    plan, seconds, of = given_
    for wanted in (None, of):
        found = jobs(plan, seconds, wanted)
        running = sum(c.engine is not None for c in plan.cells)
        assert len(found) == max(1, min(wanted or 256, running))
        assert len({job.name for job in found}) == len(found)
        assert sorted(i for job in found for i in job.cells) == sorted(c.id for c in plan.cells)
        for job in found:
            assert job.cells == tuple(c.id for c in shard_of(plan, seconds, job.shard).cells)
            engines = {c.engine for c in plan.cells if c.id in job.cells} - {None}
            assert job.guests == bool(engines & {"qemu", "vagrant"})


@pytest.mark.parametrize("of", [10, 50, 256])
@pytest.mark.parametrize("kind", ["pareto", "suite", "lognormal"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_2000_cells_of_heavy_tailed_lengths_come_within_a_tenth_of_the_bound(
    kind: str, of: int, seed: int
) -> None:
    chance = random.Random(seed)
    plan = many(40, 50)
    base = {f"s{s}": chance.paretovariate(1.2) for s in range(50)}
    draw = {
        "pareto": lambda _: 5 * chance.paretovariate(1.2),
        "suite": lambda c: 5 * base[c.suite] * chance.lognormvariate(0, 0.4),
        "lognormal": lambda _: chance.lognormvariate(3, 1.2),
    }[kind]
    seconds = {c.id: min(draw(c), 3600.0) for c in plan.cells}
    parts = shards(plan, seconds, of)
    longest = max(sum(seconds[c.id] for c in part) for part in parts)
    assert longest <= 1.1 * bound(seconds.values(), of)


def test_the_bound_is_the_average_or_the_longest_cell() -> None:
    assert bound([1.0, 2.0, 3.0], 2) == 3.0
    assert bound([2.0, 2.0, 2.0], 2) == 3.0
    assert bound([], 2) == 0.0


def test_a_distro_stays_together_where_no_shard_grows_longer_by_it() -> None:
    plan = many(10, 30)
    weights = {c.id: 1000 for c in plan.cells}
    parts = balanced(plan.cells, weights, 20)
    assert [len(part) for part in parts] == [15] * 20
    assert all(len({c.distro for c in part}) == 1 for part in parts)
    apart = longest_first(sorted(plan.cells, key=lambda c: c.id), weights, 20)
    assert sum(len({c.distro for c in part}) for part in apart) > 100


def test_no_shard_is_empty_while_another_has_cells_for_two() -> None:
    parts = shards(many(2, 2), {}, 3)
    assert sorted(len(part) for part in parts) == [1, 1, 2]


def test_one_long_cell_has_a_shard_of_its_own_and_the_rest_is_even() -> None:
    plan = many(4, 5)
    seconds = {c.id: 1.0 for c in plan.cells} | {"d2/s3": 1000.0}
    parts = shards(plan, seconds, 4)
    assert ["d2/s3"] in [[c.id for c in part] for part in parts]
    assert max(len(part) for part in parts) == 7


def test_a_job_a_cell_up_to_256_cells_and_balanced_groups_beyond() -> None:
    few = many(16, 16)
    found = jobs(few, {})
    assert [job.name for job in found] == [c.id for c in few.cells]
    assert found[2].shard == Shard(3, 256)
    lots = jobs(many(40, 50), {})
    assert len(lots) == 256
    assert max(len(job.cells) for job in lots) == 8


def test_names_say_what_the_cells_of_a_job_share() -> None:
    cells = [cell(f"debian-{d}/{s}") for d in (11, 12) for s in ("unit", "docs")]
    plan = plan_of(*cells, cell("debian-12/old", None))
    assert [job.name for job in jobs(plan, {}, 2)] == ["debian-11 (2 cells)", "debian-12 (2 cells)"]
    assert [job.name for job in jobs(plan, {}, 1)] == ["debian-11, debian-12 (4 cells)"]
    variants = plan_of(cell("debian-12/unit/a"), cell("debian-12/unit/b"))
    assert jobs(variants, {}, 1)[0].name == "debian-12/unit (2 cells)"
    suite = plan_of(*(cell(f"d{d}/unit") for d in range(3)))
    assert jobs(suite, {}, 1)[0].name == "unit (3 cells)"
    assert jobs(many(3, 2), {}, 1)[0].name == "shard 1/1 (6 cells)"


def test_jobs_that_share_the_same_are_told_apart() -> None:
    names = [job.name for job in jobs(many(1, 4), {}, 2)]
    assert names == ["d0 (2 cells, shard 1/2)", "d0 (2 cells, shard 2/2)"]


def test_what_does_not_run_goes_with_its_distro_and_makes_no_job() -> None:
    plan = plan_of(cell("a/x", None), cell("a/y"), cell("b/x", None), cell("c/y"))
    first, second = jobs(plan, {})
    assert (first.name, first.cells) == ("a/y", ("a/x", "a/y", "b/x"))
    assert (second.name, second.cells) == ("c/y", ("c/y",))


def test_a_plan_of_which_nothing_runs_is_one_job() -> None:
    (job,) = jobs(plan_of(cell("a/x", None), runners={}), {})
    assert (job.cells, job.runner, str(job.shard)) == (("a/x",), ("ubuntu-latest",), "1/1")


def test_more_shards_than_cells_are_empty_at_the_end() -> None:
    parts = shards(many(1, 2), {}, 5)
    assert [[c.id for c in part] for part in parts] == [["d0/s0"], ["d0/s1"], [], [], []]
    assert len(jobs(many(1, 2), {}, 5)) == 2


def test_runners_get_shards_by_what_they_have_to_do() -> None:
    cells = [cell(f"d/c{i}") for i in range(30)] + [cell(f"d/g{i}", "qemu") for i in range(10)]
    found = jobs(plan_of(*cells, runners=KVM), {}, 8)
    assert Counter(job.runner for job in found) == {KVM["docker"]: 6, KVM["qemu"]: 2}


def test_less_shards_than_runners_are_refused() -> None:
    plan = plan_of(cell("d/c"), cell("d/g", "qemu"), cell("d/h", "qemu"), runners=KVM)
    with pytest.raises(InputError, match=r"1 shard is too few: .* 2 different runners \(self-ho"):
        jobs(plan, {}, 1)
    assert shard_of(plan, {}, Shard(1, 1)) is plan


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "", "3", "1/257", "-1/3", "1/3/4", "1.0/3"])
def test_what_is_no_shard_is_told_with_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match="expected K/N, a shard from 1 to N of at most 256"):
        Shard.parse(text)


def test_a_shard_is_read_as_it_is_written() -> None:
    assert str(Shard.parse("3/10")) == "3/10"
    assert Shard.parse("256/256") == Shard(256, 256)


def test_the_most_specific_runner_counts() -> None:
    given_ = {"qemu": ("a",), "aarch64": ("b",), "qemu/aarch64": ("c", "d")}
    assert runner_of("qemu", "aarch64", given_) == ("c", "d")
    assert runner_of("qemu", "x86_64", given_) == ("a",)
    assert runner_of("docker", "aarch64", given_) == ("b",)
    assert runner_of("docker", "x86_64", given_) == ("ubuntu-latest",)
    assert runner_of("docker", "aarch64", {}) == ("ubuntu-24.04-arm",)
    assert runner_of("docker", "riscv64", {}) == ("self-hosted",)


def test_the_last_ends_when_its_place_was_free_and_it_has_run() -> None:
    assert makespan([], 3) == 0
    assert makespan([5, 4, 3, 3], 1) == 15
    assert makespan([5, 4, 3, 3], 2) == 8
    assert makespan([3, 3, 4, 5], 2) == 8
    assert makespan([1, 1, 1, 9], 2) == 10
    assert makespan([9, 1, 1, 1], 2) == 9
