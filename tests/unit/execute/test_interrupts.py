"""Signals that end a run: the first in order, a second one at once, a closed terminal once."""

import os
import signal
import subprocess
import sys

import pytest

from given import ROOT

PROGRAM = """\
import os, signal, sys
from distromatrix.execute.interrupts import interrupts
with interrupts(print):
    for number in map(int, sys.argv[1:]):
        os.kill(os.getpid(), number)
print("ended in order")
"""
HUP, TERM = signal.SIGHUP, signal.SIGTERM


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ((HUP,), 0, "SIGHUP\nended in order\n"),
        ((HUP, HUP, HUP), 0, "SIGHUP\nended in order\n"),
        ((TERM, HUP), 0, "SIGTERM\nended in order\n"),
        ((HUP, TERM), 143, "SIGHUP\n"),
        ((TERM, TERM), 143, "SIGTERM\n"),
    ],
)
def test_a_terminal_that_is_closed_ends_a_run_in_order(
    sent: tuple[int, ...], status: int, said: str
) -> None:
    command = [sys.executable, "-u", "-c", PROGRAM, *map(str, map(int, sent))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stdout) == (status, said)


def test_who_ignores_a_closed_terminal_goes_on() -> None:
    command = ["env", "--ignore-signal=HUP", sys.executable, "-c", PROGRAM, str(int(HUP))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "ended in order\n")


def test_tests_of_signals_do_not_mind_that_they_run_in_the_background() -> None:
    """Where a shell or nohup(1) has them ignored, for all that is started from there."""
    test = "tests/contract/test_machine_runs.py::test_no_signal_is_ignored_or_blocked[fake]"
    ignored = ["env", "--ignore-signal=INT", "--ignore-signal=QUIT", "--ignore-signal=HUP"]
    command = [*ignored, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
