"""What an engine promises of what it makes: found by labels, removed, kept when asked."""

from __future__ import annotations

import dataclasses
import os
import secrets
from contextlib import suppress
from pathlib import Path

import pytest

from distromatrix.engines.contract import LABEL_CELL, Command, Leftover
from distromatrix.errors import CannotStartError, InfrastructureError, MachineGoneError
from distromatrix.execute.cell.naming import machine_name
from distromatrix.plan.needs import GUESTS
from given import stdin_of

from .conftest import LONG_IN_GUESTS, SLOW, Bench, said, untar


def _kinds(leftovers: tuple[Leftover, ...], *, kept: bool) -> set[str]:
    return {one.kind for one in leftovers if one.kept == kept}


def _names(bench: Bench) -> set[str]:
    return {one.name for one in bench.leftovers()}


def test_facts_say_what_it_is(bench: Bench) -> None:
    facts = bench.engine.facts()
    assert facts.name == bench.engine.name
    assert facts.cpus > 0
    assert facts.memory > 1024**2
    assert facts.version in str(facts)


def test_an_image_that_is_not_there_cannot_start(staging_bench: Bench) -> None:
    bench = staging_bench
    with pytest.raises(CannotStartError, match="test-none"):
        bench.open(image="distromatrix/test-none:1")
    with pytest.raises(CannotStartError):
        bench.image = "distromatrix/test-none:1"
        bench.stage()
    assert bench.leftovers() == ()


def test_a_closed_machine_leaves_nothing(staging_bench: Bench) -> None:
    stage = staging_bench.stage()
    before = _names(staging_bench)
    machine = staging_bench.open(stage)
    assert _names(staging_bench) > before
    machine.close()
    machine.close()
    assert _names(staging_bench) == before
    stage.close()


def test_a_machine_may_have_the_longest_name_and_label_that_a_cell_gives_it(
    staging_bench: Bench,
) -> None:
    long = "s" * 63
    cell = f"{long}/{long}/{long}"
    run = f"20261128-003211-{secrets.token_hex(2)}"
    name = machine_name(run, staging_bench.labels, cell)
    labels = {**staging_bench.labels, LABEL_CELL: cell}
    stage = staging_bench.stage()
    machine = staging_bench.open(stage, name=name, labels=labels)
    assert machine.run(Command("cat hello", cwd=machine.product)).status == 0
    assert name in _names(staging_bench)
    machine.close()
    stage.close()


def test_another_process_finds_and_removes_what_was_left(staging_bench: Bench) -> None:
    staging_bench.open(staging_bench.stage())
    left = staging_bench.leftovers()
    assert {"container", "guest"} & {one.kind for one in left}
    assert {(one.run, one.folder, one.host, one.kept) for one in left} == {
        (staging_bench.run, "/somewhere", "host", False)
    }
    other = staging_bench.again()
    for one in left:
        other.remove(one)
        other.remove(one)
    assert staging_bench.leftovers() == ()


def test_what_has_no_label_is_nobodys(bench: Bench) -> None:
    machine = bench.open(labels={})
    assert machine.name not in {one.name for one in bench.again().leftovers()}
    machine.close()


@pytest.mark.parametrize("timed_out", [pytest.param(False, marks=SLOW), True])
def test_a_kept_machine_stays_until_it_is_removed(staging_bench: Bench, timed_out: bool) -> None:
    stage = staging_bench.stage()
    machine, other = staging_bench.open(stage), staging_bench.open(stage)
    machine.run(
        Command("echo state >file; sleep 60" if timed_out else "echo state >file", timeout=1)
    )
    name = machine.name
    kept = machine.keep()
    assert machine.keep() == kept
    assert kept.name in kept.remove
    assert kept.out == machine.out != ""
    machine.close()
    other.close()
    stage.close()
    left = staging_bench.leftovers()
    machines = [one for one in left if one.kind in ("container", "guest")]
    assert [(one.name, one.kept) for one in machines] == [(kept.name, True)]
    assert kept.name.startswith("distromatrix-kept-")
    assert name != kept.name
    assert untar(machine.get("/file")) == {"file": b"state\n"}
    assert "product/hello" in untar(machine.get(machine.product))
    assert _kinds(left, kept=False) == set()
    staging_bench.engine.remove(machines[0])
    assert _kinds(staging_bench.leftovers(), kept=True) == set()


def test_whoever_enters_a_kept_machine_finds_it_as_it_was_left(
    staging_bench: Bench, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = staging_bench.stage()
    user = "root" if staging_bench.engine.name == "fake" else "1234:5678"
    machine = staging_bench.open(stage, user=user)
    machine.run(Command("echo trace >left-here", cwd=machine.product))
    kept = machine.keep()
    script = tmp_path / "script"
    script.write_text(
        'cat hello left-here; printf "%s\\n" "$WORDS"; id -u; umask; '
        '[ -O "$HOME" ] && echo at home; echo off >&2; exit 7\n'
    )
    capfd.readouterr()
    with stdin_of(script):
        status = staging_bench.engine.enter(kept, {"WORDS": "two 'words'\nlines \\n $"})
    out, err = capfd.readouterr()
    uid = str(os.getuid()) if user == "root" else "1234"  # the fake engine is whoever runs it
    assert out.split("\n")[:5] == ["hello", "trace", "two 'words'", "lines \\n $", uid]
    assert int(out.split("\n")[5], 8) == 0o022
    assert out.split("\n")[6] == "at home"
    assert err.endswith("off\n")
    assert status == 7
    script.write_text("cat left-here")  # and once more, from another process's view
    with stdin_of(script):
        assert staging_bench.again().enter(kept, {}) == 0
    assert capfd.readouterr().out == "trace\n"
    staging_bench.clean()
    with stdin_of(script):
        code = -1
        with suppress(MachineGoneError):
            code = staging_bench.engine.enter(kept, {})
    assert code != 0
    stage.close()


@pytest.mark.parametrize("bench", LONG_IN_GUESTS, indirect=True)
def test_a_guest_restarts_with_its_files_and_a_container_does_not(bench: Bench) -> None:
    machine = bench.open()
    if bench.engine.name not in GUESTS:
        with pytest.raises(InfrastructureError, match="no restart: a guest has"):
            machine.reboot()
        return
    machine.run(Command("sleep 100000 & echo $! >/pid; echo kept >/file"))
    machine.reboot()
    # A guest's processes have much the same ids in each boot: this shell's may be that one.
    done, out = said(
        machine, "cat /file; grep -q '[s]leep' /proc/$(cat /pid)/cmdline 2>/dev/null || echo gone"
    )
    assert (done.status, out) == (0, b"kept\ngone\n")


def test_removing_what_is_gone_is_no_error(bench: Bench) -> None:
    gone = Leftover(
        kind="container",
        name="distromatrix-test-gone",
        run=bench.run,
        folder="",
        host="",
        kept=False,
        created=0,
    )
    bench.engine.remove(gone)
    bench.engine.remove(dataclasses.replace(gone, kind="volume"))
