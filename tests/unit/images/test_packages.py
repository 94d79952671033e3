"""What package managers are told, and how their failures are read."""

from __future__ import annotations

import subprocess

import pytest

from distromatrix.images.packages import MANAGERS

APT = MANAGERS["apt"]
APK = MANAGERS["apk"]


def test_apt_asks_nothing_and_installs_no_extras() -> None:
    script = APT.install(("python3", "git"))
    assert "DEBIAN_FRONTEND=noninteractive" in script
    assert "--no-install-recommends install -- python3 git\n" in script
    assert " -y " in script


@pytest.mark.parametrize("manager", MANAGERS.values(), ids=lambda m: m.name)
def test_no_name_can_be_taken_for_shell_or_for_an_option(manager) -> None:
    script = manager.install(("a; touch /tmp/x", "--allow-untrusted"))
    assert "-- 'a; touch /tmp/x' --allow-untrusted" in script


@pytest.mark.parametrize("manager", MANAGERS.values(), ids=lambda m: m.name)
def test_install_scripts_are_valid_shell(manager) -> None:
    script = manager.install(("python3", "odd'name"))
    assert subprocess.run(["sh", "-n"], input=script.encode(), check=False).returncode == 0


def test_apt_leaves_no_lists_behind() -> None:
    assert "rm -rf /var/lib/apt/lists/*" in APT.install(("a",)).splitlines()[-1]


def test_apt_names_every_package_that_is_not_there() -> None:
    output = """\
Reading package lists...
E: Unable to locate package nosuch
E: Package 'gone' has no installation candidate
E: Version '9.9' for 'bash' was not found
E: Unable to locate package nosuch
"""
    assert APT.failure(output).not_found == ("nosuch", "gone", "bash")
    assert APT.failure(output).unreachable == ""


@pytest.mark.parametrize(
    "line",
    [
        "  Temporary failure resolving 'mirror.example.org'",
        "  Could not resolve 'mirror.example.org'",
        "  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)",
        "E: Failed to fetch http://m/dists/x/InRelease  503  Service Unavailable",
    ],
)
def test_apt_tells_a_mirror_that_does_not_answer(line: str) -> None:
    failure = APT.failure(f"Err:1 http://mirror.example.org/debian bookworm InRelease\n{line}\n")
    assert failure.unreachable == line.removeprefix("E: ").strip().replace("  ", " ")


def test_apt_tells_an_expired_release_file() -> None:
    output = "E: Release file for http://m/dists/sid/InRelease is expired (invalid since 16d).\n"
    assert APT.failure(output).expired == "http://m/dists/sid/InRelease"


def test_apt_gives_its_own_error_for_all_else() -> None:
    output = "E: Unable to correct problems, you have held broken packages.\n"
    assert APT.failure(output).error.startswith("Unable to correct problems")


def test_apk_names_every_package_that_is_not_there() -> None:
    output = """\
ERROR: unable to select packages:
  bar (no such package):
    required by: world[bar]
  foo (no such package):
    required by: world[foo]
"""
    failure = APK.failure(output)
    assert failure.not_found == ("bar", "foo")
    assert failure.unreachable == ""


@pytest.mark.parametrize(
    "line",
    [
        "fetching https://a/main: DNS lookup error",
        "fetching http://127.0.0.1:9/x: could not connect to server (check repositories file)",
        "updating and opening https://a/main: temporary error (try again later)",
        "Ignoring https://a/main: temporary error (try again later)",
    ],
)
def test_apk_tells_a_mirror_that_does_not_answer(line: str) -> None:
    output = f"WARNING: {line}\nERROR: unable to select packages:\n  foo (no such package):\n"
    assert APK.failure(output).unreachable == line
