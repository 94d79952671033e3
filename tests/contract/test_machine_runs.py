"""What a machine promises of the commands that run in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep

import pytest

from distromatrix.engines.contract import Command, Exit, Machine
from distromatrix.errors import InfrastructureError, InputError, MachineGoneError

from .conftest import Bench, heard, said, tar_of, untar, with_docker

# Seconds for what must happen: minutes in a guest that is emulated on a busy machine.
PATIENCE = 600.0


def until(what: Callable[[], bool]) -> None:
    """Wait until it is true; it must become so."""
    deadline = monotonic() + PATIENCE
    while not what():
        assert monotonic() < deadline, "it did not happen"
        sleep(0.05)


@with_docker
@pytest.mark.parametrize(
    ("script", "status"),
    [
        (":", 0),
        ("exit 3", 3),
        ("exec false", 1),
        ("false; exit 0", 1),
        ("kill -9 $$", 137),
        ("exec >&- 2>&-; exit 4", 4),
        ("if", 2),
    ],
)
def test_the_status_is_that_of_sh_e(machine: Machine, script: str, status: int) -> None:
    assert machine.run(Command(script)).status == status
    assert machine.run(Command("exit 7")).status == 7  # and the machine goes on


def test_output_is_stdout_and_stderr_in_their_order(machine: Machine) -> None:
    assert said(machine, "echo 1; echo 2 >&2; echo 3; printf 4")[1] == b"1\n2\n3\n4"


def test_output_is_byte_for_byte(machine: Machine) -> None:
    assert said(machine, r"printf 'a\000\377\001\r\n\n'")[1] == b"a\0\xff\1\r\n\n"
    assert said(machine, ":")[1] == b""


def test_much_output_arrives_whole(machine: Machine) -> None:
    sizes: list[int] = []
    done = machine.run(
        Command(
            "dd if=/dev/zero bs=1000000 count=30 2>/dev/null",
            output=lambda data: sizes.append(len(data)),
        )
    )
    assert (done.status, sum(sizes)) == (0, 30_000_000)


def test_output_comes_while_the_command_runs(machine: Machine) -> None:
    first = threading.Event()
    result: list[int | None] = []
    script = "echo first; while ! [ -e go ]; do sleep 0.05; done; rm go"
    thread = threading.Thread(
        target=lambda: result.append(
            machine.run(Command(script, output=lambda _: first.set())).status
        )
    )
    thread.start()
    assert first.wait(PATIENCE)
    machine.put(tar_of({"go": b""}), "/")
    thread.join(PATIENCE)
    assert result == [0]


@with_docker
def test_a_script_may_hold_any_text(machine: Machine) -> None:
    text = 'it\'s "quoted" \\ $HOME `x` ü\n\n  two  spaces\ttab'
    script = f"cat <<'END'\n{text}\nEND\n"
    assert said(machine, script)[1] == f"{text}\n".encode()


@with_docker
def test_a_script_may_have_a_megabyte(machine: Machine) -> None:
    script = "x=0\n" + "x=$((x+1)) # it's a line of some length ü\n" * 25_000 + 'echo "$x $#"'
    assert len(script.encode()) > 1_000_000
    assert said(machine, script)[1] == b"25000 0\n"


def test_standard_input_is_empty(machine: Machine) -> None:
    assert said(machine, "cat; echo end", timeout=30)[1] == b"end\n"


def test_a_background_process_with_our_stdout_does_not_hold_up(machine: Machine) -> None:
    done, out = said(machine, "sleep 300 & echo started", timeout=30)
    assert (done.status, out) == (0, b"started\n")
    machine.run(Command("sleep 0.1 & :"))
    sleep(0.3)  # a child of the idle shell ends meanwhile
    assert said(machine, "echo next", timeout=30)[1] == b"next\n"


def test_what_an_earlier_command_left_running_goes_on_and_holds_nobody_up(
    machine: Machine,
) -> None:
    server = "while :; do n=$((n + 1)); echo $n >alive; echo server says $n; sleep 0.1; done"
    begin = f"cd /tmp && rm -rf left && mkdir left && cd left && nohup sh -c '{server}' &\nsleep 1"
    assert machine.run(Command(begin, timeout=30)).status == 0
    look = """a=$(cat /tmp/left/alive); n=0
    while [ "$(cat /tmp/left/alive)" = "$a" ]; do sleep 0.1; n=$((n + 1)); [ $n -lt 100 ]; done
    (setsid sleep 500 &); echo it lives"""
    for _ in range(2):
        assert said(machine, look, timeout=60)[1].endswith(b"it lives\n")
    machine.run(Command("rm -r /tmp/left"))


def test_no_signal_is_ignored_or_blocked(machine: Machine) -> None:
    """Else `yes | head` never ends, and a service cannot be told to stop."""
    signals = said(machine, "grep -E '^Sig(Ign|Blk)' /proc/self/status; :")[1].split()
    asked = 1 << 12 | 1 << 14 | 1 << 2 | 1 << 1 | 1  # PIPE, TERM, QUIT, INT, HUP
    assert [int(word, 16) & asked for word in signals[1::2]] == [0, 0]
    cut = "mkdir -p /tmp/cut; { yes || echo $? >/tmp/cut/status; } 2>/dev/null | head -n 1"
    wait = "while [ ! -s /tmp/cut/status ]; do sleep 0.1; done; cat /tmp/cut/status; rm -r /tmp/cut"
    assert said(machine, f"{cut}\n{wait}", timeout=30)[1] == b"y\n141\n"


def test_the_environment_is_what_was_passed(machine: Machine) -> None:
    env = {"A": "it's\n$HOME \\", "EMPTY": ""}
    shown = said(machine, 'printf %s "$A|$EMPTY|"; env', env=env)[1].decode()
    assert shown.startswith("it's\n$HOME \\||")
    names = {line.partition("=")[0] for line in shown.splitlines()[2:] if "=" in line}
    assert names <= {"A", "EMPTY", "PATH", "HOME", "PWD", "HOSTNAME", "SHLVL", "_"}
    assert "_dm_" not in said(machine, "set; alias; trap")[1].decode()
    assert said(machine, 'echo "${A-gone}"')[1] == b"gone\n"


def test_no_file_descriptor_leaks_into_commands(machine: Machine) -> None:
    assert said(machine, "ls /proc/$$/fd; :")[1].split() == [b"0", b"1", b"2"]


@with_docker
@pytest.mark.parametrize("env", [{"A-B": "x"}, {"A;B": "x"}, {"": "x"}, {"A": "x\0"}])
def test_a_variable_that_cannot_be_exported_is_refused(
    machine: Machine, env: dict[str, str]
) -> None:
    with pytest.raises(InputError):
        machine.run(Command(":", env=env))
    assert machine.run(Command(":")).status == 0


def test_the_working_directory_is_the_one_asked_for(machine: Machine) -> None:
    machine.run(Command('mkdir -p "some/it\'s here"'))
    assert said(machine, 'pwd; echo "${OLDPWD-none}"', cwd="/some/it's here")[1].endswith(
        b"/some/it's here\nnone\n"
    )
    assert machine.run(Command(":", cwd="/nowhere")).status != 0


def test_a_timeout_kills_the_command_and_says_what_hung(machine: Machine) -> None:
    done, out = said(machine, "echo kept >file; echo before; sleep 4711; echo after", timeout=1)
    assert done.timed_out
    assert done.seconds >= 1
    assert "sleep 4711" in done.hung
    assert out == b"before\n"
    assert untar(machine.get("/file")) == {"file": b"kept\n"}
    assert said(machine, "echo on")[1] == b"on\n"  # the machine goes on
    assert machine.running() == ""


def test_a_timeout_kills_what_is_hard_to_kill(machine: Machine) -> None:
    script = """trap '' TERM INT HUP
    (trap '' TERM; setsid sh -c 'sleep 4715; :') & sleep 4716 & (sleep 4717 &) ; wait; sleep 4718"""
    assert machine.run(Command(script, timeout=1)).timed_out
    assert machine.running() == ""


@with_docker
def test_a_timeout_holds_while_output_flows(machine: Machine) -> None:
    assert machine.run(
        Command("while :; do echo x; done", timeout=1, output=lambda _: None)
    ).timed_out


def test_kill_ends_a_running_command(bench: Bench) -> None:
    machine = bench.open()
    caught: list[BaseException] = []

    def run() -> None:
        try:
            written = Command("echo kept >file; sync; echo; sleep 4712", output=lambda _: on.set())
            machine.run(written)
        except MachineGoneError as error:
            caught.append(error)

    on = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    assert on.wait(PATIENCE)
    machine.kill()
    thread.join(PATIENCE)
    assert [error.oom for error in caught] == [False]  # type: ignore[attr-defined]
    assert untar(machine.get("/file")) == {"file": b"kept\n"}
    machine.kill()
    machine.close()
    assert bench.leftovers() == ()


def test_what_runs_is_named_while_it_runs_and_is_not_disturbed(machine: Machine) -> None:
    assert machine.running() == ""
    result: list[tuple[Exit, bytes]] = []
    script = "sleep 4713 & while ! [ -e go ]; do sleep 0.05; done; rm go; kill $!; echo done"
    thread = threading.Thread(target=lambda: result.append(said(machine, script)))
    thread.start()
    until(lambda: "sleep 4713" in machine.running())
    machine.put(tar_of({"go": b""}), "/")
    thread.join(PATIENCE)
    assert [(done.status, out) for done, out in result] == [(0, b"done\n")]
    until(lambda: machine.running() == "")  # what was killed has to go
    machine.kill()
    assert machine.running() == ""


def test_asking_what_runs_never_raises(bench: Bench) -> None:
    machine = bench.open()
    for one in bench.leftovers():
        bench.engine.remove(one)
    assert machine.running() == ""
    machine.close()
    assert machine.running() == ""


def test_stderr_comes_apart_where_that_is_asked_for(machine: Machine) -> None:
    script = r"printf 'a\000\377'; printf 'b\r\n\001' >&2; printf c; exit 3"
    assert heard(machine, script) == (3, b"a\0\377c", b"b\r\n\001")
    assert heard(machine, ":") == (0, b"", b"")
    assert said(machine, "echo 1; echo 2 >&2")[1] == b"1\n2\n"
    assert heard(machine, "exec >&- 2>&-; exit 4") == (4, b"", b"")


def test_much_on_both_outputs_arrives_whole(machine: Machine) -> None:
    script = """exec 3>&2; dd if=/dev/zero bs=1000000 count=20 2>/dev/null >&3 &
    dd if=/dev/zero bs=1000000 count=15 2>/dev/null; wait"""
    status, out, err = heard(machine, script)
    assert (status, len(out), len(err)) == (0, 15_000_000, 20_000_000)
    status, out, err = heard(machine, "head -c 9000000 /dev/zero >&2")
    assert (status, len(out), len(err)) == (0, 0, 9_000_000)


@with_docker
def test_a_script_that_is_not_strict_goes_on_after_a_failure(machine: Machine) -> None:
    assert heard(machine, "false; echo on", strict=False)[:2] == (0, b"on\n")
    assert heard(machine, "false; echo on") == (1, b"", b"")


@with_docker
def test_late_words_of_an_earlier_command_are_not_the_next_ones(machine: Machine) -> None:
    heard(machine, "(sleep 0.3; echo late; echo late >&2) & :")
    sleep(0.8)
    assert heard(machine, "echo mine; echo mine >&2") == (0, b"mine\n", b"mine\n")


@with_docker
def test_commands_have_a_session_of_their_own(machine: Machine) -> None:
    script = "IFS=' ' read -r line </proc/$$/stat; set -- ${line##*) }; echo $$ $3 $4"
    out = said(machine, script)[1].split()
    assert len(set(out)) == 1
    machine.run(Command("kill -TERM 0"))
    assert machine.run(Command("kill -TERM 0")).status == 143
    assert machine.run(Command(":")).status == 0


def test_another_process_can_join(bench: Bench) -> None:
    machine = bench.open()
    machine.run(Command("echo theirs >file"))
    guest = bench.again().join(machine.address)
    assert said(guest, "cat file", cwd="/")[1] == b"theirs\n"
    assert heard(guest, "echo 1; echo 2 >&2; exit 5") == (5, b"1\n", b"2\n")
    assert guest.run(Command("sleep 4720", timeout=0.5)).timed_out
    guest.put(tar_of({"put": b"x"}), "/")
    assert untar(guest.get("/put")) == {"put": b"x"}
    with pytest.raises(InfrastructureError):
        guest.keep()
    guest.close()
    until(lambda: machine.running() == "")
    assert said(machine, "cat put", cwd="/")[1] == b"x"
    machine.close()


def test_a_shell_that_was_killed_is_replaced(bench: Bench) -> None:
    machine = bench.open()
    guest = bench.again().join(machine.address)
    with pytest.raises(InfrastructureError, match="killed"):
        guest.run(Command("kill -9 $PPID"))
    assert said(guest, "echo next")[1] == b"next\n"
    assert machine.run(Command(":")).status == 0
    guest.close()
    machine.close()


def test_who_joined_sees_that_the_machine_went(bench: Bench) -> None:
    machine = bench.open()
    guest, address = bench.again().join(machine.address), machine.address
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            guest.run(Command("sleep 4721"))
        except MachineGoneError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: "sleep 4721" in guest.running())
    machine.close()
    thread.join(PATIENCE)
    assert len(caught) == 1
    with pytest.raises(MachineGoneError):
        guest.run(Command(":"))
    guest.close()
    with pytest.raises(MachineGoneError):
        bench.again().join(address)


@with_docker
@pytest.mark.parametrize("status", [137, 255])
def test_high_statuses_are_as_the_command_chose_them(machine: Machine, status: int) -> None:
    for strict in (True, False):
        done = machine.run(Command(f"exit {status}", strict=strict))
        assert (done.status, done.timed_out, done.oom) == (status, False, False)


@with_docker
def test_a_command_may_close_its_input(machine: Machine) -> None:
    for strict in (True, False):
        assert heard(machine, "exec 0<&-; echo on", strict=strict) == (0, b"on\n", b"")
    assert heard(machine, "exec 0<&-; read -r x || echo none")[1] == b"none\n"


def test_a_script_that_is_busy_itself_is_named(machine: Machine) -> None:
    for strict in (True, False):
        done = machine.run(Command("while :; do :; done", timeout=1, strict=strict))
        assert (done.timed_out, done.ended) == (True, False)
        assert "while :; do :; done" in done.hung
