"""What the program of quick_python.py does is what Python itself would have done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quick_python import quick_python

TESTS = Path(__file__).parents[1]
SESSION = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py")


def before(folder: Path) -> str:
    """That folder, and where Python looks already, which may be where distromatrix lies."""
    return os.pathsep.join(filter(None, (str(folder), os.getenv("PYTHONPATH"))))


@pytest.mark.parametrize(
    "line",
    [
        "-m distromatrix --version",
        "-m distromatrix pan",
        "-m distromatrix plan <&-",
        "-m distromatrix --help >&-",
        "-m distromatrix plan 2>&-",
        "-mpytest --version",
        "-c 'import sys; print(sys.argv)' a b",
        "-m distromatrix.load nothing",
        "-",
    ],
)
def test_it_ends_and_speaks_as_python(line: str, tmp_path: Path) -> None:
    said = [
        subprocess.run(
            ["sh", "-c", f"{program} {line}"],
            cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )
        for program in (sys.executable, quick_python())
    ]  # fmt: skip
    real, quick = ((one.returncode, one.stdout, one.stderr) for one in said)
    assert quick == real


def test_it_is_where_and_what_it_was_called_as(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "path").mkdir()
    (tmp_path / "path/of_path.py").write_text("")
    (tmp_path / "made/test_it.py").write_text(
        "import of_path, os, sys\n"
        "def test_it():\n"
        "    assert (os.environ['A'], os.umask(0)) == ('b c', 0o027)\n"
        "    assert os.getcwd().endswith('/made') and os.getcwd() == sys.path[0]\n"
        "    assert len(os.listdir('/proc/self/fd')) < 10\n"
    )
    environ = {**os.environ, "A": "b c", "PYTHONPATH": before(tmp_path / "path")}
    done = subprocess.run(
        [quick_python(), *SESSION, "-s"], cwd=tmp_path / "made", env=environ, umask=0o027,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_what_the_server_was_started_with_is_no_reason_for_another_python(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os\ndef test_it():\n    print('parent', os.getppid(), os.getpid())\n"
    )
    ours = {"PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"}  # as tox sets them
    script = (
        "import subprocess, sys; from quick_python import quick_python as quick; "
        "done = subprocess.Popen([quick(), *sys.argv[1:]]); print('pid', done.pid, flush=True); "
        "sys.exit(done.wait())"
    )
    for more, served in (({}, True), ({"PYTHONHASHSEED": "8"}, False)):
        if more:
            script = script.replace(
                "*sys.argv[1:]]", f"*sys.argv[1:]], env={{**__import__('os').environ, **{more}}}"
            )
        done = subprocess.run(
            [sys.executable, "-c", script, *SESSION, "-s"], cwd=tmp_path, check=False, text=True,
            env={**os.environ, **ours, "PYTHONPATH": before(TESTS)}, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        started = int(done.stdout.partition("pid ")[2].split()[0])
        ran = int(done.stdout.partition("parent ")[2].split()[1])
        assert (ran != started) is served


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_it_is_one_to_what_it_started(tmp_path: Path, number: int) -> None:
    here = tmp_path / "here"
    (tmp_path / "test_it.py").write_text(
        "import os, pathlib, time\n"
        "def test_it():\n"
        f"    pathlib.Path({str(here)!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([quick_python(), *SESSION], cwd=tmp_path) as process:
        try:
            until = time.monotonic() + 120
            while not (here.exists() and here.read_text()) and time.monotonic() < until:
                time.sleep(0.02)
            started = int(here.read_text())
            assert started != process.pid
            process.send_signal(number)
            assert process.wait(120) == -number
        finally:
            process.kill()  # or it is waited for
    while Path(f"/proc/{started}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{started}").exists()
