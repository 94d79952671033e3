"""Commands whose shell was started ahead of them do what a new `sh -c` does, byte by byte."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import pytest

from distromatrix.engines.ahead import is_alike
from distromatrix.engines.fake_machine import PipeStream
from distromatrix.engines.shell import LOOP, Shell, _interpreter
from given import unobtainable

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/"}
ALIKE = r"""
:
nosuch
echo hi; nosuch; exit 3
exit 4
false; exit
kill -9 $$
kill -TERM $$
kill -TERM 0
echo $0 $# $-
echo $LINENO
echo $_
exec sh -c 'echo $0; kill -9 $$'
echo ${OLDPWD-none} $PWD
cd /tmp; pwd; cd -; pwd
cd /nowhere
. /nosuch
/nosuch/x
/tmp
exec nosuch
eval nosuch
echo `nosuch`
echo >/nosuch/y; echo z
trap
trap "echo bye" EXIT; echo a
cat; echo end
x=1; export x; sh -c 'echo $x'
export nosuch-x=1
readonly x; x=1; echo y
printf %s "${HOME}x"
printf 'a\000\377'; echo x >&2; exit 255
exit 137
exec 0<&-
exec 0<&-; cat; echo $?
exec >&- 2>&-; exit 4
set a b; echo $@
awk "BEGIN{print 1}"
test -e /etc/passwd
type cd
command -v ls
echo ${x?unset}
( exit 3 )
break; echo x
shift 5; echo z
umask
echo $(( 1/0 )); echo on
sleep 0.01 & wait $!; echo $?
echo ü
""".strip().splitlines()
REFUSED = ['echo "', "foo(", "if", "echo a;; echo b", "echo a;", "echo )", "for", "echo $(", "'"]
OTHERWISE = [
    "echo a; }; echo b; {",
    "echo }",
    "cat <<E",
    "echo a\\",
    "alias x=echo\nx 1",
    "return 3; echo",
    "local x; echo $?",
    "# only words",
    "echo a # b",
    "f() { echo f; return 5; }; f",
    "nosuch\nif",
    "awk 'BEGIN { print 1 }'",
    "env",
    "alias; trap",
    "sh -c 'echo $SHLVL'",
    "set -x; x=1; echo $x",
    "set -e; false; echo no",
    "echo a\necho 'b\n'\"c\n\"",
    "#" * 70_000 + "\necho long",
]


@dataclass
class Opened:
    """A shell under test: an interpreter that is LOOP's, READER's and /bin/sh at once."""

    words: list[str]
    process: subprocess.Popen[bytes]
    shell: Shell

    def heard(self, script: str, **env: str) -> tuple[int, bytes, bytes]:
        out: list[bytes] = []
        err: list[bytes] = []
        status = self.shell.run(
            script,
            env=env,
            deadline=monotonic() + 30,
            output=out.append,
            errors=err.append,
            strict=False,
        )
        return status, b"".join(out), b"".join(err)

    def alone(self, script: str, **env: str) -> tuple[int, bytes, bytes]:
        """By a new one, in a session of its own."""
        done = subprocess.run(
            ["/bin/sh", "-c", 'exec "$@"', "/bin/sh", *self.words, "-c", script],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**ENVIRONMENT, "PWD": "/", **env},
        )
        status = done.returncode
        return (128 - status if status < 0 else status), done.stdout, done.stderr

    def waiting(self) -> int:
        """The process that waits for the next command."""
        number = self.process.pid
        children = Path(f"/proc/{number}/task/{number}/children")
        deadline = monotonic() + 20
        while monotonic() < deadline:
            for child in children.read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                if any(word.startswith(b"IFS= read") for word in words):
                    return int(child)
            sleep(0.01)
        raise AssertionError("none waits")


@pytest.fixture(params=["dash", "bash"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opened]:
    if not (program := shutil.which(request.param)):
        unobtainable(f"{request.param} is not installed")
    # Called sh, as in a machine: bash is another one then.
    sh = tmp_path / "sh"
    sh.symlink_to(program)
    inner = "distromatrix.engines.shell._interpreter"
    made = _interpreter
    monkeypatch.setattr(
        inner, lambda script, *, strict: made(script, strict=strict).replace("/bin/sh", str(sh))
    )
    pipe = subprocess.PIPE
    loop = LOOP.replace("/bin/sh", str(sh))
    with subprocess.Popen(
        [sh, "-c", loop], stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT, cwd="/"
    ) as started:
        shell = Shell(PipeStream(started))
        shell.run(":", strict=False)
        yield Opened([str(sh)], started, shell)
        started.kill()


def test_commands_that_follow_each_other_are_as_those_of_a_new_sh(opened: Opened) -> None:
    for script in ALIKE:
        assert is_alike(script, {}), script
        assert opened.heard(script) == opened.alone(script), script


def test_what_is_no_script_is_refused_in_the_same_words(opened: Opened) -> None:
    for script in REFUSED:
        assert is_alike(script, {}), script
        assert opened.heard(script) == opened.alone(script), script


def test_what_would_be_another_thing_goes_to_a_new_sh(opened: Opened) -> None:
    for script in OTHERWISE:
        assert not is_alike(script, {}), script
        assert opened.heard(script) == opened.alone(script), script


@pytest.mark.parametrize("env", [{"A": "it's\n$HOME \\"}, {"IFS": "x"}, {"PS4": "$(echo no)"}])
def test_variables_are_as_in_a_new_sh(opened: Opened, env: dict[str, str]) -> None:
    for script in ('printf %s "$A"; set -x; y=1x2; echo $y', "printf '%s\n' \"$IFS$A\"; env"):
        assert opened.heard(script, **env) == opened.alone(script, **env), script


def test_nothing_of_the_reader_shows(opened: Opened) -> None:
    for script in ("set", "set; alias; trap; env", "echo $BASH_EXECUTION_STRING; type _dm_f"):
        _, out, err = opened.heard(script)
        assert b"_dm_" not in (out + err).replace(b"type _dm_f", b"").replace(
            b"_dm_f: not found", b""
        )


def test_a_command_is_not_lost_with_the_process_that_waited_for_it(opened: Opened) -> None:
    for script in ("echo here; echo there >&2", "echo here\necho there >&2"):
        os.kill(opened.waiting(), signal.SIGKILL)
        sleep(0.1)
        assert opened.heard(script, A="1\n2") == (0, b"here\n", b"there\n")
    assert opened.shell.run("exit 6") == 6
    assert opened.heard("exit 7")[0] == 7
    assert opened.heard("exit 8")[0] == 8


def test_what_waits_ends_with_the_shells_input(opened: Opened) -> None:
    waiting = opened.waiting()
    assert opened.process.stdin
    opened.process.stdin.close()
    assert opened.process.wait(20) == 0
    assert not Path(f"/proc/{waiting}").exists()


class AtOnce:
    """A stream that answers the first command, and says in the same breath that the process which
    waits for the second has been killed."""

    def __init__(self) -> None:
        self._said: list[tuple[int, bytes]] = []
        self._commands = 0

    def send(self, data: bytes) -> None:
        said = re.findall(r"_dm_m=(\w+)[\s\S]*_dm_w (\w+)\n", data.decode())
        [(marker, following)] = said
        self._commands += 1
        if self._commands != 2:  # that one finds nobody
            text = f"{marker} b 1\nhere\n{marker} e 0\n"
            text += f"{following} e 137\n" if self._commands == 1 else ""
            self._said.append((1, text.encode()))

    def receive(self, timeout: float | None) -> list[tuple[int, bytes]]:
        assert self._said, "it would wait for ever"
        return [self._said.pop(0)]

    def shutdown(self) -> None: ...

    def close(self) -> None: ...


def test_that_what_waited_was_killed_may_be_told_before_the_next_command() -> None:
    shell = Shell(AtOnce())
    out: list[bytes] = []
    assert shell.run("echo here", output=out.append, strict=False) == 0
    assert shell.run("echo here", output=out.append, strict=False) == 0
    assert b"".join(out) == b"here\nhere\n"


@pytest.mark.parametrize("sh", ["dash", "bash"])
@pytest.mark.parametrize("strict", [True, False])
def test_commands_go_on_where_one_has_removed_setsid(tmp_path: Path, sh: str, strict: bool) -> None:
    """As one may in a fresh machine: in Alpine it lies in /usr/bin, and sh does not."""
    setsid = tmp_path / "setsid"
    setsid.symlink_to(shutil.which("setsid") or "/usr/bin/setsid")
    environment = {**ENVIRONMENT, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sh, "-c", LOOP], stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    ) as process:
        shell = Shell(PipeStream(process))
        for script in ("echo here", f"rm {setsid}; echo here", "echo here", "echo here"):
            out: list[bytes] = []
            status = shell.run(
                script,
                output=out.append,
                errors=out.append,
                deadline=monotonic() + 20,
                strict=strict,
            )
            assert (status, b"".join(out)) == (0, b"here\n")
        process.kill()
