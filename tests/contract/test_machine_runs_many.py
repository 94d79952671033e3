"""What a machine promises of commands that run beside and after each other."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from time import sleep

import pytest

from distromatrix.engines.contract import Command, Exit, Machine
from distromatrix.plan.needs import GUESTS

from .conftest import Bench, heard, said, untar, with_docker

# Seconds for what must happen: minutes in a guest that is emulated on a busy machine.
PATIENCE = 600.0


def at_once(most: int, what: Callable[[int], None]) -> None:
    """Call it in so many threads, each with its number; all must come to their end."""
    threads = [threading.Thread(target=what, args=(who,)) for who in range(most)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)


@with_docker
def test_commands_run_at_the_same_time(machine: Machine) -> None:
    results: list[tuple[Exit, bytes]] = []
    first = "while ! [ -e two ]; do sleep 0.02; done; echo first"
    thread = threading.Thread(target=lambda: results.append(said(machine, first, cwd=here)))
    here = said(machine, "pwd")[1].decode().strip() or "/"
    thread.start()
    machine.run(Command(">two", cwd=here))
    thread.join(PATIENCE)
    assert [(done.status, out) for done, out in results] == [(0, b"first\n")]


@with_docker
def test_outputs_of_commands_at_the_same_time_do_not_mix(bench: Bench, machine: Machine) -> None:
    wrong: list[object] = []
    most = 8 if bench.engine.name in GUESTS else 25

    def many(who: int) -> None:
        for number in range(most):
            text = f"{who}-{number}".encode()
            script = f"echo {who}-{number}; echo e{who}-{number} >&2; exit {number}"
            got = heard(machine, script)
            if got != (number, text + b"\n", b"e" + text + b"\n"):
                wrong.append(got)

    at_once(6, many)
    assert wrong == []


def test_a_timeout_leaves_other_commands_alone(machine: Machine) -> None:
    results: list[tuple[Exit, bytes]] = []
    thread = threading.Thread(target=lambda: results.append(said(machine, "sleep 3; echo done")))
    thread.start()
    sleep(0.3)
    assert machine.run(Command("sleep 4719", timeout=0.5)).timed_out
    thread.join(PATIENCE)
    assert [(done.status, out) for done, out in results] == [(0, b"done\n")]


FOLLOWING = [
    *(":", "nosuch", "echo hi; nosuch; exit 3", "false; exit", "kill -9 $$", "trap", "cat; echo e"),
    *("exec 0<&-", "cd /nowhere", "echo $LINENO", "echo '", "foo(", "if", "echo a; }; echo b; {"),
    *("echo }", "return 3; echo no", "exec >&- 2>&-; exit 4", "echo ${x?unset}", "/nosuch/x"),
    *("x=1; export x; sh -c 'echo $x$0'", ". /nosuch", "eval nosuch", "( exit 3 )", "exec nosuch"),
    *("kill -TERM 0", "shift 5; echo z", "export nosuch-x=1", "echo $0 $# $-", "echo a # b"),
    *("echo a\necho 'b\n'", "printf 'a\\000\\377'; echo x >&2; exit 255", "echo $(( 1/0 ))"),
    *("alias x='echo 1'\nx 2", "echo $PWD ${OLDPWD-none}", "awk 'BEGIN { print 1 }'"),
]


@with_docker
def test_commands_that_follow_each_other_are_as_those_of_a_new_sh(machine: Machine) -> None:
    for script in FOLLOWING:
        alone = heard(machine, f"exec /bin/sh -c {shlex.quote(script)}")
        assert heard(machine, script, strict=False) == alone, script
    for script in ("env", "echo $SHLVL"):
        assert heard(machine, script, strict=False) == heard(machine, script), script
    assert machine.running() == ""


@with_docker
@pytest.mark.parametrize("strict", [True, False])
def test_long_scripts_run_as_they_are(machine: Machine, strict: bool) -> None:
    for size in (1, 3_900, 29_999, 30_001, 300_000):
        text = ("ü'\n\"\\$" * size)[:size]
        script = f"cat <<'A\"END'\n{text}\nA\"END\nexit 9"
        assert heard(machine, script, strict=strict) == (9, f"{text}\n".encode(), b"")


@with_docker
def test_several_commands_time_out_at_once(machine: Machine) -> None:
    done: list[Exit] = []
    script = "sleep 4722 & (sleep 4723 &) ; sleep 4724"

    def run(number: int) -> None:
        done.append(machine.run(Command(script, timeout=1, strict=bool(number % 2))))

    at_once(5, run)
    assert [(one.timed_out, one.ended) for one in done] == [(True, False)] * 5
    assert machine.running() == ""
    assert said(machine, "echo on")[1] == b"on\n"


@with_docker
def test_after_a_timeout_the_machine_is_as_usable_as_before(machine: Machine) -> None:
    for strict in (True, False):
        assert machine.run(Command("echo 1 >kept; sleep 4725", timeout=1, strict=strict)).timed_out
        assert (machine.disk_free() or 0) > 0
        assert untar(machine.get("/kept")) == {"kept": b"1\n"}
        assert machine.run(Command("rm kept")).status == 0


@with_docker
def test_eight_threads_run_many_commands_each(bench: Bench, machine: Machine) -> None:
    wrong: list[object] = []
    most = 8 if bench.engine.name in GUESTS else 100  # one of a guest's may take a second

    def many(who: int) -> None:
        for number in range(most):
            words = f"{who}-{number}".encode()
            script = f"echo {who}-{number}; echo {who}-{number} >&2; exit {number}"
            got = heard(machine, script, strict=False)
            if got != (number, words + b"\n", words + b"\n"):
                wrong.append(got)

    at_once(8, many)
    assert wrong == []
