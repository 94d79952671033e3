"""A run of a product after a change of its `packages:`, with `caches:` and without, in turn.

    python benchmarks/caches.py pip ccache

`pip`: a suite whose `setup` installs packages into a virtual environment that are built there, from
C; pip keeps the wheels that it has built. What it downloads it keeps only where an index says for
how long, or gives an ETag. `ccache`: a project in C of so many files that is compiled in `run`.
Both are warmed once; then a package is added, and both ways are timed, so many times."""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

PIP = "markupsafe msgpack multidict wrapt psutil coverage"
UNIT = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <pthread.h>
struct s{n} {{ int a; char b[{n}]; }};
{functions}
"""
FUNCTION = """int f{n}_{m}(int x, const char *s) {{
  struct s{n} v = {{ x, {{0}} }}; char text[256]; double d = sin(x) * {m};
  for (int i = 0; i < 100; i++) {{
    v.a = v.a * 31 + i % ({m} + 1); d = sqrt(fabs(d) + v.a);
    snprintf(text, sizeof text, "%s %d %f", s, v.a, d);
    for (char *c = text; *c; c++) v.a ^= *c << (i % 16);
  }}
  return v.a + (int)d + text[0];
}}"""
SUITES = {
    "pip": {
        "packages": ["python", "python3-dev", "compiler"],
        "setup": "python3 -m venv /opt/v\n"
        "/opt/v/bin/pip install -q --no-binary :all: --only-binary setuptools,wheel,cython "
        "-r requirements.txt",
        "run": "/opt/v/bin/python -c 'import markupsafe, msgpack, multidict, wrapt, psutil'",
        "network": True,
        "memory": "2G",
    },
    "ccache": {
        "packages": ["compiler", "make", "ccache"],
        "run": "make -s -j2 CC='ccache gcc' CFLAGS=-O2 && ./all && ccache -s",
        "cpus": 2,
        "memory": "2G",
    },
}


def product(folder: Path, files: int) -> None:
    """The product: what is installed, and what is compiled."""
    (folder / "requirements.txt").write_text(PIP.replace(" ", "\n") + "\n")
    for n in range(1, files + 1):
        functions = "\n".join(FUNCTION.format(n=n, m=m) for m in range(1, 41))
        (folder / f"u{n}.c").write_text(UNIT.format(n=n, functions=functions))
    (folder / "main.c").write_text('int f1_1(int, const char *);int main(){return f1_1(0,"")&0;}\n')
    (folder / "Makefile").write_text(
        "all: $(patsubst %.c,%.o,$(wildcard *.c))\n\tgcc -o $@ $^ -lm\n"
    )


def matrix(folder: Path, distro: str, kind: str, more: tuple[str, ...], *, cached: bool) -> None:
    suite = dict(SUITES[kind])
    suite["packages"] = [*suite["packages"], *more]
    if cached:
        suite["caches"] = [kind]
    body = {
        "distros": [distro],
        "index": "host",
        "ca_bundle": "host",
        "suites": {kind: suite},
    }
    (folder / "matrix").mkdir(exist_ok=True)
    (folder / "matrix/default.yaml").write_text(yaml.safe_dump(body))


def run(folder: Path) -> tuple[float, float]:
    """The seconds of a run, and of its cell."""
    began = time.monotonic()
    command = [sys.executable, "-m", "distromatrix", "run", "--trust", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    took = time.monotonic() - began
    (cell,) = yaml.safe_load(done.stdout)["cells"]
    return took, cell["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["pip", "ccache"])
    parser.add_argument("--distro", default="debian-12")
    parser.add_argument("--files", type=int, default=60, help="of the project in C")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    added = ("tree", "less", "file", "bc", "ed", "jq", "patch", "zip")[: given.rounds]
    for kind in given.kinds:
        folder = Path(tempfile.mkdtemp(prefix="distromatrix-caches-"))
        try:
            product(folder, given.files)
            matrix(folder, given.distro, kind, (), cached=True)
            print(f"{kind}: cold {run(folder)[0]:.1f} s", flush=True)
            ratios = []
            for package in added:
                pair = []
                for cached in (False, True):
                    matrix(folder, given.distro, kind, (package,), cached=cached)
                    whole, cell = run(folder)
                    pair.append(whole)
                    word = "with" if cached else "without"
                    print(f"  +{package} {word}: {whole:.1f} s (cell {cell:.1f} s)", flush=True)
                ratios.append(pair[1] / pair[0])
            print(
                f"  ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )
        finally:
            clean = [sys.executable, "-m", "distromatrix", "clean", "--caches"]
            subprocess.run(clean, cwd=folder, capture_output=True, check=False)
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
