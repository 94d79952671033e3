"""What docs/cluster.md says makes a cluster, over TLS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from documents import ROOT, blocks
from quick_python import quick_python

PATIENCE = 180.0  # seconds


@contextmanager
def going(log: Path, environ: dict[str, str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Dask's command, until the context is left."""
    command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def check(address: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = [quick_python(), "-m", "distromatrix", "cluster", "check", "--json", address]
    return subprocess.run(words, env=environ, capture_output=True, text=True, check=False)


def certified(home: Path, environ: dict[str, str]) -> Path:
    """Do there what the page says of certificates; Dask's configuration."""
    home.mkdir(exist_ok=True)
    own = environ | {"HOME": str(home)}
    found = {block.note: block.text for block in blocks(ROOT / "docs/cluster.md")}
    subprocess.run(["sh", "-e"], input=found["certificates"], text=True, env=own, check=True)
    file = home / ".config/dask/distributed.yaml"
    file.write_text(found["configuration"].replace("/home/you", str(home)))
    return file


def test_the_commands_of_the_page_make_a_cluster(tmp_path: Path) -> None:
    alien = ("DASK_", "XDG_", "DISTROMATRIX_")
    environ = {n: v for n, v in os.environ.items() if not n.startswith(alien)}
    environ |= {"HOME": str(tmp_path), "DISTROMATRIX_FAKE": str(tmp_path / "fake")}
    file = certified(tmp_path, environ)
    told, folder = tmp_path / "scheduler.json", tmp_path / "worker"
    own = ("--host", "tls://127.0.0.1", "--port", "0", "--scheduler-file", str(told))
    logs = [tmp_path / "scheduler.log", tmp_path / "worker.log"]
    until = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        dask = [stack.enter_context(going(logs[0], environ, "scheduler", *own))]
        words = ("--scheduler-file", str(told), "--nthreads", "1", "--local-directory", str(folder))
        while not told.exists():
            assert dask[0].poll() is None and time.monotonic() < until, logs[0].read_text()
            time.sleep(0.1)
        dask.append(stack.enter_context(going(logs[1], environ, "worker", *words)))
        while (said := check(str(told), environ)).returncode:
            both = "".join(log.read_text() for log in logs)
            assert all(one.poll() is None for one in dask) and time.monotonic() < until, both
        (worker,) = json.loads(said.stdout)
        assert worker["address"].startswith("tls://")
        certified(tmp_path / "other", environ)
        stranger = check(worker["address"], environ | {"HOME": str(tmp_path / "other")})
        file.unlink()
        nobody = check(worker["address"], environ)
    for refused in (stranger, nobody):
        assert (refused.returncode, refused.stdout) == (69, "")
        assert len(refused.stderr.splitlines()) == 1
        assert "distributed.comm.tls" in refused.stderr
