"""The programs of guests do what their source says, and are what is built of it. Those that set the
clock or switch a machine off run in guests alone: see tests/integration/engines/guest."""

from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import guest_programs
from distromatrix.engines.guest import programs

RUNS_HERE = pytest.mark.skipif(
    platform.machine() not in guest_programs.ARCHITECTURES, reason="no program is built for it"
)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


def run(folder: Path, program: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    file = folder / "program"
    file.write_bytes(program)
    file.chmod(0o755)
    folder.chmod(0o755)
    return subprocess.run([file, *words], capture_output=True, check=False)


@pytest.mark.parametrize("arch", guest_programs.ARCHITECTURES)
@pytest.mark.parametrize("name", guest_programs.NAMES)
def test_what_lies_there_is_what_is_built_of_the_source(name: str, arch: str) -> None:
    gcc = guest_programs.compiler(arch)
    if gcc is None:
        pytest.skip(f"there is no compiler for {arch}")
    built = guest_programs.build(name, arch, gcc)
    if guest_programs.version(gcc) != guest_programs.BUILT_BY.read_text().strip():
        pytest.skip("another version of the compiler makes other code of the same source")
    assert (guest_programs.FOLDER / arch / name).read_bytes() == built


@pytest.mark.parametrize("arch", guest_programs.ARCHITECTURES)
def test_each_is_made_for_either_architecture(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.platform, "machine", lambda: arch)
    made = [
        *map(programs.program, ("session", "piped", "reseed", "awaken")),
        *(programs.become(1, 2), programs.become(1, 2, alone=False)),
        programs.say_and_power_off(b"text"),
    ]
    kind = {"x86_64": 62, "aarch64": 183}[arch]
    for one in made:
        assert one[:4] == b"\x7fELF"
        assert int.from_bytes(one[18:20], "little") == kind
        assert not any(mark in one for mark in (b"UID?", b"GID?", b"LEN?"))
    with pytest.raises(ValueError, match="longer"):
        programs.say_and_power_off(b"longer" * 11)


@RUNS_HERE
def test_a_session_of_its_own_is_begun_with_arguments_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", "it is")
    code = "import os, sys; print(os.getsid(0) == os.getpid(), sys.argv[1:], os.environ['HERE'])"
    ended = run(tmp_path, programs.program("session"), sys.executable, "-c", code, "a b", "c")
    assert ended.stdout == b"True ['a b', 'c'] it is\n"
    assert run(tmp_path, programs.program("session"), "/nowhere").returncode == 126


@RUNS_HERE
@AS_ROOT
@pytest.mark.parametrize("alone", [True, False])
def test_another_user_is_become_and_nothing_of_before_is_left(tmp_path: Path, alone: bool) -> None:
    shell = 'trap "" INT QUIT; exec "$@"'
    program = tmp_path / "become"
    program.write_bytes(programs.become(4711, 4712, alone=alone))
    program.chmod(0o755)
    command = [program, "/bin/sh", "-c", "id -u; id -g; id -G; trap; ps -o sid= -p $$; echo $$"]
    ended = subprocess.run(["sh", "-c", shell, "sh", *command], capture_output=True, check=False)
    assert ended.returncode == 0, ended
    uid, gid, groups, *_, sid, pid = ended.stdout.decode().split()
    assert (uid, gid, groups) == ("4711", "4712", "4712")
    assert (sid == pid) == alone


@RUNS_HERE
def test_who_may_not_become_another_user_does_nothing(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.write_bytes(programs.become(4713, 4713))
    inner.chmod(0o755)
    command = [str(inner), "/bin/sh", "-c", "echo here"]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set", "-all", "--reuid", "4711", *command]
        tmp_path.chmod(0o755)
    ended = subprocess.run(command, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (126, b"")


@RUNS_HERE
def test_what_a_program_prints_comes_through_pipes_that_anybody_can_open(tmp_path: Path) -> None:
    script = "echo out; echo err >&2; echo more >/dev/stdout; head -c 200000 /dev/zero; exit 3"
    ended = run(tmp_path, programs.program("piped"), "/bin/sh", "-c", script)
    assert ended.returncode == 3
    assert ended.stdout == b"out\nmore\n" + bytes(200000)
    assert ended.stderr == b"err\n"
    assert run(tmp_path, programs.program("piped"), "/nowhere").returncode == 126


@RUNS_HERE
def test_random_numbers_are_drawn_anew_by_who_may(tmp_path: Path) -> None:
    ended = run(tmp_path, programs.program("reseed"))
    assert ended.returncode in (0, errno.EPERM)  # and not what opening another file comes to


@RUNS_HERE
def test_signals_that_were_ignored_are_heeded_again(tmp_path: Path) -> None:
    program = tmp_path / "become"
    uid, gid = os.getuid(), os.getgid()
    program.write_bytes(programs.become(uid, gid))
    program.chmod(0o755)
    shell = 'trap "" INT; exec "$@"'
    killed = [program, "/bin/sh", "-c", "kill -INT $$; echo on"]
    ended = subprocess.run(["sh", "-c", shell, "sh", *killed], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGINT, b"")
