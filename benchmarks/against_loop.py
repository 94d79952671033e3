"""`distromatrix run` against a plain `docker run` loop: the same work, images and parallelism.

Both are timed as whole processes, in turn, in one run of this script; what counts is the
ratio of each pair. The images are warm, prepared by `distromatrix images build` beforehand,
and the loop uses the very same ones.

    python benchmarks/against_loop.py noop  --cells 200
    python benchmarks/against_loop.py noop  --cells 3 --rounds 9
    python benchmarks/against_loop.py suite --sdist more-itertools==10.5.0 --rounds 9
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DISTROS = ("debian-11", "debian-12", "debian-13")
RECIPES = "python3 -m pytest -q -p no:cacheprovider tests/test_recipes.py"


def distromatrix(*args: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "distromatrix", *args, "-C", str(folder)]


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{shlex.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return took


def images(folder: Path) -> dict[str, str]:
    """Cell id -> image tag, having built what is missing."""
    built = subprocess.run(
        distromatrix("images", "build", folder=folder), capture_output=True, text=True, check=False
    )
    if built.returncode:
        sys.exit(built.stderr)
    return dict(line.split(": ", 1) for line in built.stdout.splitlines())


def noop_product(folder: Path, cells: int) -> None:
    (folder / "matrix").mkdir(parents=True)
    suites = "".join(f"  s{n:04d}: {{run: 'true'}}\n" for n in range(cells))
    (folder / "matrix/default.yaml").write_text(
        f"product: .\ndistros: [debian-12]\nsuites:\n{suites}", encoding="utf-8"
    )


def sdist_product(folder: Path, requirement: str) -> None:
    with tempfile.TemporaryDirectory() as downloads:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "-d", downloads, requirement], check=True)
        archive = next(Path(downloads).glob("*.tar.gz"))
        subprocess.run(["tar", "-xzf", str(archive), "-C", str(folder.parent)], check=True)
        top = archive.name.removesuffix(".tar.gz")
    (folder.parent / top).rename(folder)
    (folder / "matrix").mkdir()
    (folder / "matrix/default.yaml").write_text(
        "product: .\n"
        f"distros: [{', '.join(DISTROS)}]\n"
        "suites:\n"
        f"  unit: {{packages: [python3-pytest], run: {json.dumps(RECIPES)}}}\n",
        encoding="utf-8",
    )


def loop(cells: dict[str, str], script: str, product: Path, jobs: int) -> list[str]:
    """The loop as one writes it by hand: a copy of the product for each, N at a time."""
    inner = f"cp -a /src /product && cd /product && {script}"
    one = f'docker run --rm -v {shlex.quote(str(product))}:/src:ro "$1" sh -ec {shlex.quote(inner)}'
    tags = "\n".join(cells.values())
    return [
        "sh",
        "-c",
        f"printf '%s\\n' \"$0\" | xargs -P {jobs} -n 1 sh -c {shlex.quote(one)} sh",
        tags,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["noop", "suite"])
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--sdist", default="more-itertools==10.5.0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "product"
        if args.what == "noop":
            noop_product(folder, args.cells)
        else:
            sdist_product(folder, args.sdist)
        script = "true" if args.what == "noop" else RECIPES
        tags = images(folder)
        plain = loop(tags, script, folder, args.jobs)
        ours = distromatrix("run", "-j", str(args.jobs), folder=folder)
        timed(plain), timed(ours)  # warm
        ratios, theirs_s, ours_s = [], [], []
        for _ in range(args.rounds):
            theirs_s.append(timed(plain))
            ours_s.append(timed(ours))
            ratios.append(ours_s[-1] / theirs_s[-1])
    print(
        f"{args.what}: {len(tags)} cells, {args.jobs} at a time, medians of {args.rounds}: "
        f"docker run loop {statistics.median(theirs_s):.2f} s, "
        f"distromatrix run {statistics.median(ours_s):.2f} s, "
        f"ratio {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
