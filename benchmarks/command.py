"""What the command itself costs: `--help`, and 1,000 cells on the fake engine.

    python benchmarks/command.py

Prints the median wall time of `distromatrix --help` beside that of an empty Python program,
and wall time and peak memory (resident set of the one process, machines not counted) of a run
of 1,000 cells beside one of 10.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

TIMES = 9
DISTRO = """\
title: Bench
family: other
package_manager: none
libc: glibc
image: [{archive: {file: empty.tar, sha256: SHA}}]
"""


def cost(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Seconds, and peak resident bytes, of one process."""
    began = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    if child.returncode:
        sys.exit(said.decode())
    return time.perf_counter() - began, usage.ru_maxrss * 1024


def write_product(folder: Path, distros: Sequence[str], rest: str) -> Path:
    """One with distros whose image is empty, and the `rest` of its matrix."""
    (folder / "matrix").mkdir(parents=True)
    (folder / "distros").mkdir()
    with tarfile.open(folder / "distros/empty.tar", "w"):
        pass
    digest = hashlib.sha256((folder / "distros/empty.tar").read_bytes()).hexdigest()
    for name in distros:
        (folder / f"distros/{name}.yaml").write_text(DISTRO.replace("SHA", digest), "utf-8")
    text = f"product: .\ndistros: [{', '.join(distros)}]\n{rest}"
    (folder / "matrix/default.yaml").write_text(text, encoding="utf-8")
    return folder


def project(root: Path, cells: int) -> Path:
    """A product of `cells` suites that do nothing, on one distro."""
    suites = "".join(f"  s{n}: {{run: 'echo {n}'}}\n" for n in range(cells))
    return write_product(root / f"p{cells}", ("bench",), f"suites:\n{suites}")


def main() -> None:
    ours = [sys.executable, "-m", "distromatrix"]
    plain = {**os.environ}
    helps = [cost([*ours, "--help"], plain)[0] for _ in range(TIMES)]
    empty = [cost([sys.executable, "-c", "pass"], plain)[0] for _ in range(TIMES)]
    print(
        f"--help: {statistics.median(helps) * 1000:.0f} ms "
        f"(an empty Python program: {statistics.median(empty) * 1000:.0f} ms)"
    )
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        fake = {
            **os.environ,
            "DISTROMATRIX_FAKE": str(root / "fake"),
            "PYTHONPATH": str(Path(__file__).parents[1] / "tests/fakes"),
            "XDG_CACHE_HOME": str(root / "cache"),
        }
        for cells in (10, 1000):
            folder = project(root, cells)
            seconds, peak = cost([*ours, "run", "-C", str(folder)], fake)
            print(f"{cells} cells on the fake engine: {seconds:.1f} s, peak {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
