"""Whatever comes from a checkout, a machine or another job is understood or refused: by each input
of the corpus, by changes of these that Hypothesis makes, and by those that reach new code.
"""

from __future__ import annotations

import importlib.util
import platform
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fuzzing import seeds, words
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from targets import TARGETS

from given import unobtainable

HERE = Path(__file__).parent
FEW, MANY = 100, 10_000
SECONDS = 20  # of the processor's, for one input: some take 0.1 s
MEMORY = 1 << 30  # bytes beyond what there is before

Edit = tuple[int, int, bytes]


class TooSlowError(BaseException):
    """An input took too long; nothing that catches an Exception catches this one."""


@pytest.fixture(autouse=True, scope="module")
def bounded() -> Iterator[None]:
    """A little memory, and an end to what takes too long (see `quick`)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    handler = signal.signal(signal.SIGPROF, _too_slow)
    yield
    signal.signal(signal.SIGPROF, handler)
    resource.setrlimit(resource.RLIMIT_AS, before)


def _too_slow(*_: object) -> None:
    raise TooSlowError(f"more than {SECONDS} s of the processor's time")


@contextmanager
def quick() -> Iterator[None]:
    """Around what is done with one input. Counts the time of the processor, not of the clock."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param(name, data, id=f"{name}/{file}")
        for name in TARGETS
        for file, data in seeds(name).items()
    ],
)
def test_the_corpus(name: str, data: bytes) -> None:
    with quick():
        TARGETS[name](data)


def edited(data: bytes, edits: list[Edit]) -> bytes:
    """Some bytes with pieces of them replaced: where, how many, by what."""
    for at, size, piece in edits:
        start = at % (len(data) + 1)
        data = data[:start] + piece + data[start + size :]
    return data


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Inputs of the corpus, changed in some places."""
    piece = st.one_of(st.sampled_from(words(name)), st.binary(max_size=4))
    edit = st.tuples(st.integers(0, 1 << 13), st.sampled_from([0, 0, 1, 2, 5, 20, 100]), piece)
    return st.builds(
        edited, st.sampled_from(list(seeds(name).values())), st.lists(edit, max_size=8)
    )


def hypothesis(name: str, number: int) -> None:
    """That many inputs; always the same ones where it is few."""

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=number == FEW,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(name))
    def each(data: bytes) -> None:
        with quick():
            TARGETS[name](data)

    each()


@pytest.mark.parametrize("name", TARGETS)
def test_some_inputs(name: str) -> None:
    hypothesis(name, FEW)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", TARGETS)
def test_many_inputs(name: str) -> None:
    hypothesis(name, MANY)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", TARGETS)
def test_inputs_that_reach_something_new(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        reason = "there is no atheris: pip install -e '.[fuzz]'"
        if platform.machine() == "x86_64" and sys.version_info < (3, 15):
            unobtainable(reason)
        pytest.skip(f"NOT TESTED: {reason}")
    new = tmp_path / "new"
    new.mkdir()
    found = tmp_path / "found"
    options = (
        f"-runs={MANY}",
        "-timeout=60",
        "-rss_limit_mb=2048",
        "-max_len=4096",
        "-len_control=0",
    )
    ran = subprocess.run(
        [sys.executable, HERE / "coverage_guided.py", name, new, *options,
         f"-exact_artifact_path={found}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.exists():
        data = found.read_bytes()
        pytest.fail(f"{ran.stdout[-3000:]}\n{data!r}\nkeep it as a file of corpus/{name}")
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert f"Done {MANY} runs" in ran.stderr
