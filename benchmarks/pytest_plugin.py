"""What pytest's plugin costs a session that does not use it.

    python benchmarks/pytest_plugin.py [--times 15]

An empty session, and one of 2,000 trivial tests, in one process and over two workers: each with
the plugin as it is installed, and without it (`-p no:distromatrix`), in turn. Printed are the
medians of wall time and of processor time (of all processes of a session), and of the latter the
least, which other work on the machine disturbs least, and the median of the differences of the
pairs, with its quartiles. The third of each, `again`, is a second measurement without the plugin:
its differences are what this machine's noise looks like.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

TESTS = """
import pytest

@pytest.mark.parametrize("n", range(2000))
def test_trivial(n):
    pass
"""
NONE = 5  # pytest's exit code where it collected nothing
WITHOUT = ("-p", "no:distromatrix")
KINDS: dict[str, tuple[str, ...]] = {"with": (), "without": WITHOUT, "again": WITHOUT}
SESSIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "an empty session": ("empty", ()),
    "2,000 trivial tests": ("tests", ()),
    "2,000 trivial tests, -n 2": ("tests", ("-n2",)),
}


def session(folder: Path, *args: str) -> tuple[float, float]:
    """Seconds that one session takes, and seconds of processors."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"}
    command = [sys.executable, "-m", "pytest", "-q", *args]
    began, used = time.perf_counter(), processors()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began, processors() - used
    if done.returncode not in (0, NONE):
        sys.exit(done.stdout + done.stderr)
    return took


def processors() -> float:
    """What all processes have used that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=15)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as place:
        for name, text in (("empty", ""), ("tests", TESTS)):
            folder = Path(place, name)
            folder.mkdir()
            (folder / "pytest.ini").write_text("[pytest]\n")
            (folder / "test_it.py").write_text(text)
        for title, (name, args) in SESSIONS.items():
            took: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
            for number in range(times + 1):
                for kind in random.sample(list(KINDS), len(KINDS)):
                    seconds = session(Path(place, name), *args, *KINDS[kind])
                    if number:  # the first warms the caches
                        took[kind].append(seconds)
            print(title)
            for kind, pairs in took.items():
                wall, used = zip(*pairs, strict=True)
                line = f"  {kind:8} {median(wall):6.3f} s, of processors {median(used):6.3f} s"
                line += f" (least {min(used):6.3f} s)"
                if kind != "without":
                    line += "  " + differences(pairs, took["without"])
                print(line, flush=True)


def differences(ones: list[tuple[float, float]], others: list[tuple[float, float]]) -> str:
    """The median of what the one uses more of processors, and the quartiles."""
    more = [1000 * (one - other) for (_, one), (_, other) in zip(ones, others, strict=True)]
    low, middle, high = quantiles(more, n=4)
    return f"{middle:+6.1f} ms ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
