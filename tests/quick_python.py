"""A Python that has imported already what tests start it for: imports are most of what many of
them take. `quick_python()` is a program (quick_program.py) for which a server forks whatever is
`-m distromatrix`, `-m pytest` or a worker of pytest-xdist; it starts a Python for all else. What a
test says of a start itself, it says of sys.executable."""

from __future__ import annotations

import atexit
import gc
import io
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn

from rich.cells import cell_len

import distromatrix
from distromatrix.cli import COMMANDS
from distromatrix.load.shapes.base import Shape
from distromatrix.record.journal import event_adapter

# What is imported by those that are started; but no plugin of pytest's, which does that itself:
# pytest-xdist gives its workers the `sys.path` that it is imported with.
IMPORTED = (
    *("execnet.multi", "pytest", "fake_engine.engine"),
    *("distromatrix.engines.docker.engine", "distromatrix.engines.qemu.engine"),
    *("distromatrix.execute.executor", "distromatrix.execute.product.kept"),
    *("distromatrix.engines.guest.available", "distromatrix.project.replan"),
    *("distromatrix.record.history", "distromatrix.testing.cells.outcomes"),
    *("distromatrix.reports.commands", "distromatrix.reports.html.page", "sqlite3"),
    *("distromatrix.reports.terminal.live", "distromatrix.reports.terminal.summary"),
    *("distromatrix.trust.reach", "rich.table"),
    *(f"distromatrix.cli.{name.replace('-', '_')}" for name in COMMANDS),
)
NAME = "quick-python"
STREAMS = (("stdin", "rb"), ("stdout", "wb"), ("stderr", "wb"))


class Request(NamedTuple):
    """What to do, as which process. `files`: as which number each of its descriptors is wanted."""

    words: list[str]
    environ: dict[str, str]
    cwd: str
    umask: int
    ignored: list[int]
    files: list[int]


@cache
def quick_python() -> str:
    """The program's path. Its server ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="distromatrix-quick-"))
    program = folder / NAME
    source = Path(__file__).with_name("quick_program.py").read_text(encoding="utf-8")
    same = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    assert "SAME: dict[str, str] = {}" in source
    source = source.replace("SAME: dict[str, str] = {}", f"SAME: dict[str, str] = {same!r}")
    program.write_text(f"#!{sys.executable} -IS\n{source}", encoding="utf-8")
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, __file__, folder],
        stdin=subprocess.PIPE,  # open as long as this process is there
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    _SERVERS.append(server)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return str(program)


_SERVERS: list[subprocess.Popen[bytes]] = []


def serve(folder: Path) -> Request | None:
    """Return in each process that was asked for, and in the server when its owner is gone."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(64)
        os.write(1, b"ready\n")
        while listener in select.select([0, listener], [], [])[0]:
            client, _ = listener.accept()
            with client:
                if os.fork() == 0:
                    listener.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    return answer(client)
    shutil.rmtree(folder)
    return None


def answer(client: socket.socket) -> Request:
    """Fork what is asked for, and return there; here, hand on signals, tell how it ended, end."""
    length, files, _, _ = socket.recv_fds(client, 4, 3)
    with client.makefile("rb") as asked:
        request = Request(*marshal.loads(asked.read(int.from_bytes(length, "big"))))
    if (process := os.fork()) == 0:
        client.close()
        for number in range(3):
            os.close(number)
        for number, file in zip(request.files, files, strict=True):
            os.dup2(file, number)
            os.close(file)
        return request
    for file in files:
        os.close(file)
    ended = os.pidfd_open(process)
    while ended not in select.select([ended, client], [], [])[0]:
        number = client.recv(1)
        os.kill(process, number[0] if number else signal.SIGKILL)
        if not number:
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    client.sendall(str(status).encode())
    os._exit(0)


def become(request: Request, program: str) -> None:
    """Let this be as a process of Python's that was started so."""
    ours = [os.path.abspath(path) for path in paths_of(os.environ)]  # noqa: PTH100
    os.chdir(request.cwd)
    os.umask(request.umask)
    os.environ.clear()
    os.environ.update(request.environ)
    for number in request.ignored:
        signal.signal(number, signal.SIG_IGN)
    words = list(request.words)
    unbuffered = bool(request.environ.get("PYTHONUNBUFFERED")) or words[0] == "-u"
    if words[0] == "-u":
        del words[0]
    for number, (name, mode) in enumerate(STREAMS):
        old, new = getattr(sys, name), None
        if number in request.files:
            out = mode == "wb"
            raw = os.fdopen(number, mode, 0 if unbuffered and out else -1, closefd=False)
            new = io.TextIOWrapper(
                raw,
                old.encoding,
                old.errors,
                line_buffering=out and (number == 2 or os.isatty(number)),
                write_through=out and unbuffered,
            )
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    sys.executable = program
    sys.dont_write_bytecode = bool(request.environ.get("PYTHONDONTWRITEBYTECODE"))
    others = [path for path in sys.path[1:] if path not in ours]
    sys.path[:] = [request.cwd, *paths_of(request.environ), *others]
    option, words = words[0][:2], [words[0][2:] or words[1], *words[1 if words[0][2:] else 2 :]]
    sys.argv[:] = [option, *words[1:]]
    if option == "-c":
        sys.path[0] = ""
        exec(words[0], {"__name__": "__main__"})
    else:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def paths_of(environ: Mapping[str, str]) -> list[str]:
    """Where a Python that is started with it looks for modules first."""
    return [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def shapes(kind: type[Shape]) -> Iterator[type[Shape]]:
    """All kinds of it."""
    for one in kind.__subclasses__():
        yield one
        yield from shapes(one)


def end(status: object) -> NoReturn:
    """End as processes of `multiprocessing` do, which take nothing apart that they share."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):
            stream.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # as the command line does
    sys.path.append(str(Path(__file__).with_name("fakes")))
    for module in IMPORTED:
        import_module(module)
    for shape in shapes(Shape):
        shape.model_rebuild()  # or each process that loads a matrix makes them anew
    event_adapter()
    cell_len("…")  # or each process reads the table of their widths anew
    # Or pytest would warn that its assertions are as they are.
    distromatrix.__doc__ = "PYTEST_DONT_REWRITE"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    if asked := serve(place):
        try:
            become(asked, str(place / NAME))
        except SystemExit as ended:
            end(ended.code)
        end(None)
