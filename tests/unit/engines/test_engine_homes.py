"""Which HOME a machine's user gets."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from distromatrix.engines.contract import Command, Exit
from distromatrix.engines.shell import homes
from distromatrix.engines.shell.homes import home_found, home_told, without_home

NOBODY = "54321:54321"  # no passwd entry has this number


def _home(user: str, home: str | None) -> str:
    env = {} if home is None else {"HOME": home}
    script = home_found(user) + "env"
    done = subprocess.run(
        ["/bin/sh", "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return next(line for line in done.stdout.split("\n") if line.startswith("HOME="))[5:]


def test_a_home_that_can_be_written_to_stays(tmp_path: Path) -> None:
    assert _home(NOBODY, str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize("home", ["/", "", None, "/nonexistent", "/proc/version"])
def test_else_it_is_that_of_the_passwd_entry(home: str | None) -> None:
    entry = pwd.getpwuid(os.getuid())
    assert _home(f"{entry.pw_uid}:{entry.pw_gid}", home) == entry.pw_dir


@pytest.mark.parametrize("home", ["/", "/nonexistent", None])
def test_who_has_none_gets_one_beside_the_product_or_where_all_may_write(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    monkeypatch.setattr(homes, "HOME", str(ours))
    monkeypatch.setattr(homes, "WITHOUT_PRODUCT", str(elsewhere))
    for _ in range(2):  # the second shell finds it
        assert _home(NOBODY, home) == str(elsewhere)
    assert elsewhere.stat().st_mode & 0o777 == 0o700
    ours.mkdir()
    assert _home(NOBODY, home) == str(ours)


def test_the_home_of_an_image_is_roots_alone() -> None:
    env = {"HOME": "/root", "A": "b"}
    assert without_home(env, "root") == env
    assert without_home(env, NOBODY) == {"A": "b"}


def test_roots_is_not_asked_after() -> None:
    assert home_found("root") == ""


@pytest.mark.parametrize(
    ("user", "home", "told"),
    [
        (NOBODY, b"/home/some-one.2", "-e HOME=/home/some-one.2 "),
        (NOBODY, b"/h\x1b[2J", ""),
        (NOBODY, b"/home/a b; rm", ""),
        (NOBODY, b"", ""),
        ("root", b"/root", ""),
    ],
)
def test_a_home_is_told_to_people_where_it_is_plain(user: str, home: bytes, told: str) -> None:
    def run(command: Command) -> Exit:
        assert command.timeout is not None and command.output is not None
        command.output(home)
        return Exit(status=0, seconds=command.timeout)

    assert home_told(run, user) == told
