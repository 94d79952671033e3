"""A machine behaves like one: its names, its loopback, its memory's tmpfs, its users' homes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from distromatrix.engines.contract import Command
from distromatrix.plan.needs import GUESTS

from .conftest import SLOW, USERS, Bench, said

MIB = 1024**2
USER = "1234:4321"  # no image has a passwd entry for it


@pytest.mark.parametrize(
    ("network", "hostname"),
    [
        (False, "debian-12"),
        (True, ""),
        *(pytest.param(*both, marks=SLOW) for both in ((False, ""), (True, "debian-12"))),
    ],
)
def test_its_own_name_and_localhost_resolve_with_and_without_a_network(
    real_bench: Bench, network: bool, hostname: str
) -> None:
    machine = real_bench.open(network=network, hostname=hostname, user=USER)
    script = """hostname; hostname -f >/dev/null; read -r name </proc/sys/kernel/hostname
    getent hosts "$name" >/dev/null; getent hosts localhost >/dev/null; echo resolved"""
    done, out = said(machine, script, timeout=30)
    assert (done.status, out) == (0, f"{hostname or machine.name[:63]}\nresolved\n".encode())
    machine.close()


@pytest.mark.parametrize("network", [False, True])
def test_the_ipv6_loopback_is_there_where_the_kernel_has_ipv6(
    real_bench: Bench, network: bool
) -> None:
    machine = real_bench.open(network=network)
    script = "[ -e /proc/sys/net/ipv6 ] || echo none; cat /proc/net/if_inet6 || :"
    seen = said(machine, script)[1].split()
    loopback = [seen[at - 5] for at, word in enumerate(seen) if word == b"lo"]
    has = real_bench.engine.name in GUESTS or Path("/proc/sys/net/ipv6").exists()
    assert loopback == ([b"0" * 31 + b"1"] if has else [])
    assert seen[:1] != [b"none"] or not has
    machine.close()


def test_shared_memory_is_half_of_its_memory(real_bench: Bench) -> None:
    machine = real_bench.open(memory=512 * MIB)
    out = said(machine, "df -Pk /dev/shm")[1].splitlines()[-1].split()
    size = int(out[1]) * 1024
    if real_bench.engine.name in GUESTS:  # of what its kernel leaves
        assert 150 * MIB < size <= 256 * MIB
    else:
        assert size == 256 * MIB
    script = "head -c 100000000 /dev/zero >/dev/shm/file; wc -c </dev/shm/file; rm /dev/shm/file"
    assert said(machine, script)[1].strip() == b"100000000"
    machine.close()


HOME_IS_ONE = """[ "$HOME" = ~ ] && [ -d "$HOME" ] && [ -O "$HOME" ] && : >"$HOME/.of-a-tool"
case $HOME in / | *product*) exit 9 ;; esac
ls -ld "$HOME" | cut -c 1-10"""


@pytest.mark.parametrize("staged", [True, pytest.param(False, marks=SLOW)])
def test_a_user_without_a_passwd_entry_has_a_home(real_staging_bench: Bench, staged: bool) -> None:
    stage = real_staging_bench.stage() if staged else None
    machine = real_staging_bench.open(stage, user=USER)
    for strict in (True, False, False):
        done, out = said(machine, HOME_IS_ONE, cwd=machine.product or "/", strict=strict)
        assert (done.status, out) == (0, b"drwx------\n")
    other = real_staging_bench.again().join(machine.address)
    assert said(other, "ls -A ~")[1] == b".of-a-tool\n"
    other.close()
    assert said(machine, "echo $HOME ~", env={"HOME": "/own"})[1] == b"/own /own\n"
    machine.close()
    if stage is not None:
        stage.close()


def test_roots_home_is_as_its_image_says(real_bench: Bench) -> None:
    machine = real_bench.open()
    assert said(machine, "echo $HOME")[1] == b"/root\n"
    machine.close()


@pytest.mark.parametrize("privileges", [(), ("setuid",)])
def test_programs_become_their_owner_with_that_privilege_and_in_guests(
    real_bench: Bench, privileges: tuple[str, ...]
) -> None:
    machine = real_bench.open(privileges=privileges)
    # No program of busybox's: these give up what they have become.
    script = """cp "$(command -v iconv)" /usr/bin/helper; chmod 4755 /usr/bin/helper
    (umask 077; echo for root >/secret)
    su -s /bin/sh nobody -c '/usr/bin/helper -f UTF-8 -t UTF-8 /secret 2>/dev/null' || echo no"""
    works = bool(privileges) or real_bench.engine.name in GUESTS
    assert said(machine, script)[1] == (b"for root\n" if works else b"no\n")
    machine.close()


def test_who_mounts_finds_no_file_by_which_the_host_runs_a_program(real_bench: Bench) -> None:
    if real_bench.engine.name in GUESTS:  # whose kernel is their own
        return
    machine = real_bench.open(privileges=("mount",))
    # What is opened is not written to. A /proc that is mounted anew is another matter: SECURITY.md.
    script = """mkdir /m; mount -t tmpfs none /m && echo mounted; umount /m
    (: >>/proc/sys/kernel/core_pattern) 2>/dev/null && echo core_pattern
    for one in $(cut -d: -f2 /proc/self/cgroup) none,name=another; do
        mount -t cgroup -o "$one" none /m 2>/dev/null || continue
        [ ! -e /m/release_agent ] || echo "release_agent of $one"
        umount /m
    done
    find /sys/fs/cgroup -name release_agent"""
    found = said(machine, script)[1].splitlines()
    if real_bench.engine.name == "podman":  # its API has no word for a namespace of cgroups
        found = [line for line in found if b"release_agent" not in line]
    assert found == [b"mounted"]
    machine.close()


@USERS
def test_a_process_that_lost_its_parent_is_gone_when_it_has_ended(
    real_bench: Bench, user: str
) -> None:
    machine = real_bench.open(user=user)
    script = """sh -c 'sleep 300 & echo $! >"$HOME/pid"'; read -r pid <"$HOME/pid"; kill "$pid"
    n=0; while kill -0 "$pid" 2>/dev/null; do n=$((n+1)); [ $n -lt 200 ]; sleep 0.1; done"""
    assert machine.run(Command(script)).status == 0
    machine.close()


@USERS
def test_the_outputs_can_be_opened_by_their_names(real_bench: Bench, user: str) -> None:
    machine = real_bench.open(user=user)
    script = "echo 1 >/dev/stdout; echo 2 >/dev/stderr; echo 3 >/proc/self/fd/2; echo 4 >/dev/fd/1"
    err: list[bytes] = []
    done, out = said(machine, script, errors=err.append)
    assert (done.status, out, b"".join(err)) == (0, b"1\n4\n", b"2\n3\n")
    done, out = said(machine, script)
    assert (done.status, out) == (0, b"1\n2\n3\n4\n")
    machine.close()


@USERS
def test_what_commands_have_left_running_ends_and_the_machine_goes_on(
    real_staging_bench: Bench, user: str
) -> None:
    stage = real_staging_bench.stage()
    machine = real_staging_bench.open(stage, user=user)
    # Nothing leads from a daemon to who began it; and it hears nothing.
    daemon = "trap '' TERM HUP INT; echo $$ >daemon; while :; do sleep 1; done"
    script = f"""(setsid sh -c {shlex.quote(daemon)} >/dev/null 2>&1 &)
    while [ ! -s daemon ]; do sleep 0.1; done; sleep 1234 & echo $! >child"""
    assert machine.run(Command(script, cwd=machine.product)).status == 0
    assert machine.signal_left("STOP")
    assert (
        machine.run(Command("kill -0 $(cat daemon) $(cat child)", cwd=machine.product)).status == 0
    )
    assert machine.signal_left("CONT")
    assert machine.signal_left("KILL")
    there = "for one in daemon child; do ! kill -0 $(cat $one) || exit 9; done"
    assert machine.run(Command(there, cwd=machine.product)).status == 0
    assert "sleep 1234" not in machine.running()
    assert b"".join(machine.get(f"{machine.product}/child"))
    machine.kill()
    assert not machine.signal_left("KILL")
    machine.close()
    stage.close()
