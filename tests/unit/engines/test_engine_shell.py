"""The open shell's protocol, without an engine: on the shells of this host, and cut up."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from distromatrix.engines.contract import Command
from distromatrix.engines.shell.pool import KILL
from distromatrix.engines.shell.shell import LOOP, Shell, ShellEndedError
from fake_engine.machine import ProcessStream
from given import unobtainable

# Debian has both; busybox's is Alpine's, where the machines' contract runs.
SHELLS = [["dash"], ["bash", "--posix"]]


class Cut:
    """A stream that hands on another's bytes one by one."""

    def __init__(self, inner: ProcessStream) -> None:
        self._inner = inner
        self._rest: list[tuple[int, bytes]] = []

    def send(self, data: bytes) -> None:
        self._inner.send(data)

    def receive(self, timeout: float | None) -> list[tuple[int, bytes]]:
        if not self._rest:
            pieces = self._inner.receive(timeout)
            self._rest = [(kind, bytes([b])) for kind, data in pieces for b in data]
        one, self._rest = self._rest[:1], self._rest[1:]
        return one

    def close(self) -> None:
        self._inner.close()

    def shutdown(self) -> None:
        self._inner.shutdown()


@pytest.fixture(params=SHELLS, ids=lambda s: s[0])
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    if not shutil.which(request.param[0]):
        unobtainable(f"{request.param[0]} is not installed")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*request.param, "-c", LOOP], stdin=pipe, stdout=pipe, stderr=pipe, env=_environment()
    ) as started:
        yield started
        started.kill()


def _environment() -> dict[str, str]:
    """As in a machine, where no shell has begun these."""
    return {name: value for name, value in os.environ.items() if name != "SHLVL"}


def _said(shell: Shell, script: str) -> tuple[int, bytes]:
    out: list[bytes] = []
    status = shell.run(Command(script, output=out.append, timeout=30))
    return status, b"".join(out)


def test_what_is_asked_takes_no_process_of_its_own(process: subprocess.Popen[bytes]) -> None:
    shell = Shell(ProcessStream(process))

    def asked() -> int:
        out: list[bytes] = []
        script = "echo $$; cat; echo 'no\nword' >&2; (exit 3)"
        assert shell.ask(script, deadline=monotonic() + 30, output=out.append) == 3
        first, *rest = b"".join(out).splitlines()
        assert rest == [b"no", b"word"]
        return int(first)

    assert asked() == process.pid
    assert shell.run(Command(":", strict=False, timeout=30)) == 0
    assert asked() == process.pid
    assert _said(shell, "echo next") == (0, b"next\n")


def test_a_marker_cut_anywhere_is_found(process: subprocess.Popen[bytes]) -> None:
    shell = Shell(Cut(ProcessStream(process)))
    assert _said(shell, "printf 0123456789abcdef0123456789abcde; exit 5") == (
        5,
        b"0123456789abcdef0123456789abcde",
    )
    assert _said(shell, "echo next") == (0, b"next\n")


@pytest.mark.parametrize("size", [1, 29_999, 30_000, 30_001, 300_000])
def test_scripts_of_all_sizes_run_as_they_are(process: subprocess.Popen[bytes], size: int) -> None:
    shell = Shell(ProcessStream(process))
    text = ("ü'\n\"\\$" * size)[:size]
    script = f"cat <<'A\"END'\n{text}\nA\"END\nexit 9"
    assert _said(shell, script) == (9, f"{text}\n".encode())


def test_an_ended_shell_hands_on_its_last_words(process: subprocess.Popen[bytes]) -> None:
    shell = Shell(ProcessStream(process))
    out: list[bytes] = []
    with pytest.raises(ShellEndedError):
        shell.run(Command('printf last; kill -9 "$PPID"', output=out.append))
    assert b"".join(out) == b"last"


def test_nothing_of_the_loop_shows_in_a_commands_variables(
    process: subprocess.Popen[bytes],
) -> None:
    shell = Shell(ProcessStream(process))
    for script in ("set", "set\n" + "#" * 40_000):
        assert b"_dm_" not in _said(shell, script)[1]


def test_what_the_shell_says_of_a_command_is_none_of_its_words(
    process: subprocess.Popen[bytes],
) -> None:
    shell = Shell(ProcessStream(process))
    out: list[bytes] = []
    err: list[bytes] = []
    script = "echo last >&2; kill -9 $$"
    assert shell.run(Command(script, output=out.append, errors=err.append)) == 137
    assert (out, b"".join(err)) == ([], b"last\n")
    assert _said(shell, script) == (137, b"last\n")


def test_a_shell_counts_itself_as_if_nobody_had_called_it(
    process: subprocess.Popen[bytes],
) -> None:
    alone = subprocess.run(
        ["/bin/sh", "-c", "echo $SHLVL"], capture_output=True, check=True, env=_environment()
    )
    assert _said(Shell(ProcessStream(process)), "echo $SHLVL") == (0, alone.stdout)


def test_a_command_has_its_three_files_and_no_more(process: subprocess.Popen[bytes]) -> None:
    shell = Shell(ProcessStream(process))
    out: list[bytes] = []
    script = "for fd in 0 1 2 3 4 5 9 10 11 12; do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done"
    shell.run(Command(script, output=out.append, errors=out.append))
    assert b"".join(out).split() == [b"0", b"1", b"2"]
    assert _said(shell, script)[1].split() == [b"0", b"1", b"2"]


def test_a_timeout_kills_the_tree_where_there_is_no_setsid(tmp_path: Path) -> None:
    for tool in ("sleep", "sh", "touch"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["/bin/sh", "-c", LOOP], stdin=pipe, stdout=pipe, stderr=pipe, env={"PATH": str(tmp_path)}
    ) as started:
        shell = Shell(ProcessStream(started))
        for strict in (True, False):
            late = tmp_path / "late"
            script = f"(sleep 2; touch {late}) & sleep 4730"
            with pytest.raises(TimeoutError):
                shell.run(Command(script, timeout=0.5, strict=strict))
            assert shell.process is not None
            subprocess.run(["sh", "-c", KILL, "sh", str(shell.process)], check=True)
            assert shell.wait(monotonic() + 30) == 137
            assert _said(shell, "sleep 2; echo on") == (0, b"on\n")
            assert not late.exists()
        started.kill()


# What a loop, an eval or a process of one's own could make another thing of.
SCRIPTS = [
    "nosuch; exit 3",
    "kill -TERM 0",
    'echo $0 $# $-; set a b; echo "$@"',
    "exec sh -c 'echo $0; kill -9 $$'",
    "echo ${OLDPWD-none} $PWD; cd /tmp; pwd; cd -",
    "cd /nowhere; . /nosuch",
    'trap "echo bye" EXIT; cat; echo end',
    "readonly x; x=1; echo y",
    "printf 'a\\000\\377'; echo x >&2; exit 255",
    "exec >&- 2>&-; exit 4",
    "return 3; echo",
    "local x; echo $?",
    "set -x; x=1; echo $x; alias; trap; env",
    'echo "',
    "echo a }; echo b; {",
    "# only words",
    """echo "it's" '"$A"'""" + ' "$A"',
]


@pytest.mark.parametrize("strict", [True, False])
def test_commands_do_what_those_of_a_new_sh_do(strict: bool) -> None:
    pipe = subprocess.PIPE
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/"}
    with subprocess.Popen(
        ["/bin/sh", "-c", LOOP], stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd="/"
    ) as started:
        shell = Shell(ProcessStream(started))
        for script in SCRIPTS:
            out: list[bytes] = []
            err: list[bytes] = []
            status = shell.run(
                Command(
                    script,
                    env={"A": "it's\n$HOME \\"},
                    timeout=30,
                    output=out.append,
                    errors=err.append,
                    strict=strict,
                )
            )
            alone = subprocess.run(
                ["/bin/sh", *(["-e"] if strict else []), "-c", script],
                capture_output=True,
                check=False,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={**environment, "PWD": "/", "A": "it's\n$HOME \\"},
            )
            code = alone.returncode
            expected = 128 - code if code < 0 else code
            assert (status, b"".join(out), b"".join(err)) == (
                expected,
                alone.stdout,
                alone.stderr,
            ), script
        started.kill()


@pytest.mark.parametrize("sh", ["dash", "bash"])
@pytest.mark.parametrize("strict", [True, False])
def test_commands_go_on_where_one_has_removed_setsid(tmp_path: Path, sh: str, strict: bool) -> None:
    """As one may in a fresh machine: in Alpine it lies in /usr/bin, and sh does not."""
    setsid = tmp_path / "setsid"
    setsid.symlink_to(shutil.which("setsid") or "/usr/bin/setsid")
    pipe = subprocess.PIPE
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with subprocess.Popen(
        [sh, "-c", LOOP], stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    ) as started:
        shell = Shell(ProcessStream(started))
        for script in ("echo here", f"rm {setsid}; echo here", "echo here"):
            out: list[bytes] = []
            status = shell.run(Command(script, output=out.append, timeout=20, strict=strict))
            assert (status, b"".join(out)) == (0, b"here\n")
        started.kill()
