"""What a big product costs before its first cell begins: 60,000 small files, or 3 GB in three.

Each round, in turn: `git archive HEAD | docker cp`, a run for which nothing is kept of the product,
a second run, and one after an edit. What counts is the time from the command's start to the first
command of the first cell, and the ratio to the archive's; and the run's peak resident memory.

    python benchmarks/staging.py many --rounds 5
    python benchmarks/staging.py big --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES, PARTS, PART = 60_000, 3, 1 << 30
MATRIX = """product: .
distros: [{distro}]
suites:
  s: {{run: 'true', network: false}}
"""


def many(root: Path) -> None:
    numbers = random.Random(1)
    for number in range(FILES):
        folder = root / f"d{number // 1000:02d}/e{number // 100 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"x = {numbers.getrandbits(400)}\n" * numbers.randrange(1, 40)
        (folder / f"f{number}.{'txt' if number % 3 else 'py'}").write_text(text)


def big(root: Path) -> None:
    for number in range(PARTS):
        with (root / f"part{number}").open("wb") as file:
            for _ in range(PART >> 20):
                file.write(os.urandom(1 << 20))


def product(kind: str, root: Path, distro: str) -> None:
    (root / "matrix").mkdir(parents=True)
    (root / "matrix/default.yaml").write_text(MATRIX.format(distro=distro))
    {"many": many, "big": big}[kind](root)
    git = [
        "git",
        "-C",
        str(root),
        "-c",
        "gc.auto=0",
        "-c",
        "user.name=b",
        "-c",
        "user.email=b@example.org",
    ]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "-c", "core.compression=0", "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)


def archive(root: Path, made: list[tuple[str, str]]) -> float:
    """Seconds of `git archive HEAD | docker cp` into a new volume."""
    volume = f"distromatrix-bench-{secrets.token_hex(4)}"
    image = docker("images", "-q").split()[0]
    container = docker("create", "-v", f"{volume}:/product", image, "true")
    made.append((container, volume))
    began = time.time()
    tar = subprocess.Popen(["git", "-C", str(root), "archive", "HEAD"], stdout=subprocess.PIPE)
    subprocess.run(["docker", "cp", "-", f"{container}:/product"], stdin=tar.stdout, check=True)
    tar.wait()
    return time.time() - began


def docker(*args: str) -> str:
    return subprocess.run(
        ["docker", *args], check=True, capture_output=True, text=True
    ).stdout.strip()


def run(root: Path) -> tuple[float, int]:
    """Seconds to the first cell's first command, and the peak of resident memory in MB."""
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, "-m", "distromatrix", "run", "-C", str(root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the run ended with {os.waitstatus_to_exitcode(status)}")
    journal = (root / ".distromatrix/runs/latest/journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in journal]
    first = min(e["time"] for e in events if e["type"] == "cell-phase" and e["phase"] == "run")
    return first - began, used.ru_maxrss // 1024


def measure(kind: str, given: Path, rounds: int) -> None:
    found: dict[str, list[tuple[float, float, int]]] = {}
    made: list[tuple[str, str]] = []
    for number in range(rounds):
        root = given.with_name(f"copy{number}")
        subprocess.run(["cp", "-a", str(given), str(root)], check=True)
        time.sleep(3)
        took_first = [archive(root, made)] if number % 2 == 0 else []
        first = run(root)
        plain = took_first[0] if took_first else archive(root, made)
        print(f"git archive HEAD | docker cp: {plain:.2f} s", flush=True)
        second = run(root)
        with (root / "matrix/default.yaml").open("a") as file:
            file.write("# edited\n")
        rows = {"first run": first, "second run": second, "after an edit": run(root)}
        for what, (took, memory) in rows.items():
            found.setdefault(what, []).append((took, took / plain, memory))
            print(f"  {what}: {took:.2f} s, {took / plain:.2f}, {memory} MB", flush=True)
    for what, rows in found.items():
        seconds, ratios, memory = (sorted(column) for column in zip(*rows, strict=True))
        print(
            f"| {kind}: {what} | {statistics.median(seconds):.2f} s ({seconds[0]:.2f} to "
            f"{seconds[-1]:.2f}) | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}) | {memory[-1]} MB |"
        )
    for container, volume in made:
        docker("rm", container)
        docker("volume", "rm", volume)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("many", "big"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--distro", default="debian-12")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="distromatrix-bench-") as folder:
        root = Path(folder, "product")
        product(asked.kind, root, asked.distro)
        measure(asked.kind, root, asked.rounds)


if __name__ == "__main__":
    main()
