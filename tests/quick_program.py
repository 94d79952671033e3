"""What is started instead of Python, without `site`: it hands its words, its files and its folder
to the server beside it (quick_python.py), and ends as ends what is forked there."""

from __future__ import annotations

import marshal
import os
import signal
import socket
import sys

SERVED = (["-m", "distromatrix"], ["-m", "pytest"], ["-mpytest"])
WORKER = ["-u", "-c", "import sys;exec(eval(sys.stdin.readline()))"]  # of pytest-xdist
SAME: dict[str, str] = {}  # settings of Python's that the server has, too: written here by it
HANDED_ON = ("PYTHON", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def is_served(words: list[str]) -> bool:
    """Not what is for another Python: one with other settings or in another locale."""
    for name, value in os.environ.items():
        if name.startswith("PYTHON") and name not in HANDED_ON and SAME.get(name) != value:
            return False
        if name in ("LANG", "LC_ALL", "LC_CTYPE") and value and "utf" not in value.lower():
            return False
    return words == WORKER or words[:1] in SERVED or words[:2] in SERVED


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def main(words: list[str]) -> None:
    numbers = [number for number in range(3) if is_open(number)]
    if not is_served(words):
        os.execv(sys.executable, [sys.executable, *words])
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    server = socket.socket(socket.AF_UNIX)
    # Not by pathlib, which takes longer to import than all that is done here.
    folder = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
    server.connect(f"{folder}/socket")
    ignored = [int(n) for n in SIGNALS if signal.getsignal(n) is signal.SIG_IGN]
    for number in set(SIGNALS) - set(ignored):
        signal.signal(number, lambda got, _: server.sendall(bytes([got])))
    umask, cwd = os.umask(0), os.getcwd()  # noqa: PTH109
    asked = marshal.dumps((words, dict(os.environ), cwd, umask, ignored, numbers))
    socket.send_fds(server, [len(asked).to_bytes(4, "big")], numbers)
    server.sendall(asked)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    status = int(server.recv(4) or -signal.SIGKILL)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
