"""The same checks with testinfra through `distromatrix://` and through its own `docker://`, as
whole sessions of pytest with the same workers: their start, and that of the machines (here by a
plain `docker run -d`), included.

    python benchmarks/testinfra_checks.py --checks 1500 --rounds 1 --workers 2
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from distromatrix.engines import open_engine
from distromatrix.engines.contract import LABEL_DISTRO, LABEL_KIND

CHECKS = """\
import pytest

testinfra_hosts = {hosts}


def passwd(host):
    found = host.file("/etc/passwd")
    assert found.exists
    assert found.mode == 0o644


def root(host):
    assert host.user("root").uid == 0


def shell(host):
    assert host.exists("sh")


def package(host):
    assert not host.package("no-such-package").is_installed


def command(host):
    assert host.check_output("echo %s", "it's") == "it's"


ALL = [passwd, root, shell, package, command]


@pytest.mark.parametrize("number", range({count}))
def test_check(host, number):
    ALL[number % len(ALL)](host)
"""

# Plugins of this project's own environment, which cost each process of a session a second.
OTHERS = ["-p", "no:hypothesispytest", "-p", "no:platformdirs"]


def main() -> None:
    """Measure both in turn, and print the ratio of each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", default="2")
    options = parser.parse_args()
    images = base_images()
    count = options.checks // len(images)
    print(f"{count * len(images)} checks on {', '.join(images)}, -n {options.workers}")
    ratios = []
    for _ in range(options.rounds):
        ours = through_distromatrix(list(images), count, options.workers)
        theirs = through_docker(images, count, options.workers)
        ratios.append(theirs / ours)
        print(f"docker:// {theirs:.1f} s, distromatrix:// {ours:.1f} s, ratio {ratios[-1]:.1f}")
    print(f"median ratio {median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")


def base_images() -> dict[str, str]:
    """The newest base image in the engine's store of each distro: name -> id."""
    engine = open_engine("docker")
    found: dict[str, str] = {}
    for image in sorted(engine.images.list(), key=lambda image: image.created):
        name = image.labels.get(LABEL_DISTRO, "")
        if image.labels.get(LABEL_KIND) == "base" and name.startswith(("debian-", "alpine-")):
            found[name] = image.id
    engine.close()
    return dict(sorted(found.items()))


def through_distromatrix(distros: list[str], count: int, workers: str) -> float:
    """Seconds."""
    return session([f"distromatrix://{name}" for name in distros], count, workers)


def through_docker(images: dict[str, str], count: int, workers: str) -> float:
    """Seconds, with the containers' start and end."""
    began = time.perf_counter()
    names = {f"bench-{distro}-{secrets.token_hex(3)}": image for distro, image in images.items()}
    try:
        for name, image in names.items():
            run = ["docker", "run", "-d", "--name", name, image, "sleep", "86400"]
            subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
        session([f"docker://{name}" for name in names], count, workers)
    finally:
        subprocess.run(["docker", "rm", "-f", *names], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def session(hosts: list[str], count: int, workers: str) -> float:
    """One session of pytest in a folder of its own; all its tests must pass. Seconds."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_checks.py").write_text(CHECKS.format(hosts=hosts, count=count))
        command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "--rootdir", folder]
        command += OTHERS
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
    if done.returncode or f"{count * len(hosts)} passed" not in done.stdout:
        sys.exit(done.stdout[-3000:] + done.stderr[-1000:])
    return seconds


if __name__ == "__main__":
    main()
