"""What an image says of itself becomes facts: read by a real sh, bounded, and never believed."""

import io
import os
import subprocess
from contextlib import AbstractContextManager, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from distromatrix.errors import InfrastructureError
from distromatrix.files.small_tar import tar_of
from distromatrix.images.facts import facts_of, parse
from fake_engine.engine import FakeEngine

DEBIAN = """== os
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
VERSION_ID="12"
== uname
x86_64
6.1.0
== libc
ldd (Debian GLIBC 2.36-9+deb12u14) 2.36
== locale

== timezone
/usr/share/zoneinfo/Etc/UTC
== limits
nofiles  1024
== kernels
6.1.0-44-cloud-amd64
== commands
sh /usr/bin/dash
awk /usr/bin/mawk
== versions
perl This is perl 5, version 36, subversion 0 (v5.36.0) built for x86_64-linux-gnu
gcc gcc (Debian 12.2.0-14+deb12u1) 12.2.0
broken no number
== dpkg
coreutils 9.1-1
libc6 2.36-9+deb12u14
"""


def test_what_a_debian_says() -> None:
    facts = parse(DEBIAN, "sha256:1")
    assert facts.os == {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "VERSION_ID": "12"}
    assert (facts.arch, facts.kernel, facts.kernels) == (
        "x86_64",
        "6.1.0",
        ("6.1.0-44-cloud-amd64",),
    )
    assert (facts.libc, facts.libc_version, facts.timezone) == ("glibc", "2.36", "Etc/UTC")
    assert facts.commands == {"sh": "/usr/bin/dash", "awk": "/usr/bin/mawk"}
    assert facts.versions["perl"] == "5.36.0" and "broken" not in facts.versions
    assert facts.manager == "dpkg"
    assert facts.packages == {"coreutils": "9.1-1", "libc6": "2.36-9+deb12u14"}


@pytest.mark.parametrize(
    ("said", "manager", "packages"),
    [
        ("== apk\nP:musl\nV:1.2.5-r0\nP:busybox\nV:1.36.1-r29\n", "apk", {"musl": "1.2.5-r0"}),
        ("== rpm\nbash 0:5.1.8-9.el9\n", "rpm", {"bash": "0:5.1.8-9.el9"}),
        ("== pacman\nbash 5.3.9-1\n", "pacman", {"bash": "5.3.9-1"}),
        ("== xbps\nbash 5.2.32_1\n", "xbps", {"bash": "5.2.32_1"}),
        ("== os\nID=none\n", "", {}),
    ],
)
def test_each_package_manager(said: str, manager: str, packages: dict[str, str]) -> None:
    facts = parse(said, "i")
    assert facts.manager == manager
    assert packages.items() <= facts.packages.items()


@pytest.mark.parametrize(
    "said",
    [
        "== dpkg\nlibc6 2.36-9 glibc\nbash 5.2-2 bash\nforged\n",
        "== rpm\nlibc6 2.36-9 glibc-2.36-9.src.rpm\nbash 5.2-2 bash-5.2-2.src.rpm\ngpg 1 (none)\n",
        "== apk\nP:libc6\nV:2.36-9\no:glibc\nX\nP:bash\nV:5.2-2\no:bash\n",
    ],
)
def test_what_a_package_is_built_from(said: str) -> None:
    facts = parse(said, "i")
    assert facts.sources == {"libc6": "glibc"}
    assert {"libc6": "2.36-9", "bash": "5.2-2"}.items() <= facts.packages.items()


def test_musl_says_its_version_on_its_second_line() -> None:
    facts = parse("== libc\nmusl libc (x86_64)\nVersion 1.2.5\n", "i")
    assert (facts.libc, facts.libc_version) == ("musl", "1.2.5")


def test_what_is_hostile_is_bounded_and_printable() -> None:
    said = "== os\nPRETTY_NAME=\x1b]0;owned\x07\u202e" + "x" * 10_000 + "\n== dpkg\n"
    said += "".join(f"p{n} 1:{n}.0-1\n" for n in range(50_000)) + "\x1b[2J 9\n"
    facts = parse(said, "i")
    assert len(facts.packages) == 50_001
    name = facts.os["PRETTY_NAME"]
    assert "\x1b" not in name and "\u202e" not in name and len(name) <= 300
    assert not [key for key in facts.packages if "\x1b" in key]


def test_the_script_runs_under_a_plain_sh() -> None:
    script = files("distromatrix.images").joinpath("facts.sh").read_text()
    env = {"PATH": os.environ["PATH"], "DISTROMATRIX_COMMANDS": "sh nothing-like-it"}
    env["DISTROMATRIX_VERSIONS"] = "python3"
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=True)
    facts = parse(done.stdout, "here")
    assert facts.kernel == os.uname().release and facts.arch == os.uname().machine
    assert "sh" in facts.commands and "nothing-like-it" not in facts.commands
    assert facts.versions["python3"].startswith("3.")


@pytest.mark.parametrize("kind", ["pipe", "endless", "folder", "none", "file"])
def test_the_script_waits_for_no_file(tmp_path: Path, kind: str) -> None:
    release = tmp_path / "release"
    if kind == "pipe":
        os.mkfifo(release)
    elif kind == "endless":
        release.symlink_to("/dev/zero")
    elif kind == "folder":
        release.mkdir()
    elif kind == "file":
        release.write_text("ID=mine\n" + "X=y\n" * 100_000)
    script = files("distromatrix.images").joinpath("facts.sh").read_text()
    for place in ("/etc/os-release", "/etc/timezone"):
        script = script.replace(place, str(release))
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    facts = parse(done.stdout, "here")
    assert (facts.os.get("ID") == "mine") == (kind == "file")
    assert len(done.stdout) < 1_000_000 and facts.kernel == os.uname().release


def test_what_an_image_says_without_end_is_not_heard_out(tmp_path: Path) -> None:
    class Flooding:
        def run(self, command: Any) -> None:
            for _ in range(1 << 40):
                command.output(b"y" * 65_536)

    @contextmanager
    def opens(_: object) -> Any:
        yield Flooding()

    facts = facts_of("i", "x86_64", tmp_path / "kept", {}, opens)
    assert facts.absent == "it says more than 8 MiB of itself"


@pytest.fixture
def opened(tmp_path: Path) -> tuple[FakeEngine, list[str], Any]:
    engine, images = FakeEngine(tmp_path / "engine"), list[str]()

    @contextmanager
    def opens(spec: Any) -> Any:
        images.append(spec.image)
        machine = engine.open(spec)
        try:
            yield machine
        finally:
            machine.close()

    return engine, images, opens


def test_they_are_read_once_and_kept(tmp_path: Path, opened: Any) -> None:
    engine, images, opens = opened
    tag = "distromatrix/test:fake"
    engine.images.load_rootfs(io.BytesIO(tar_of(())), tag, {})
    first = facts_of(tag, "x86_64", tmp_path / "kept", {}, opens)
    assert not first.absent and first.kernel == os.uname().release
    assert facts_of(tag, "x86_64", tmp_path / "kept", {}, opens) == first
    assert len(images) == 1
    for file in (tmp_path / "kept").iterdir():
        file.write_text("[" * 100_000)  # is read anew
    assert facts_of(tag, "x86_64", tmp_path / "kept", {}, opens) == first
    assert len(images) == 2


def test_what_cannot_be_read_is_absent_and_says_why(tmp_path: Path) -> None:
    def opens(_: object) -> AbstractContextManager[Any]:
        raise InfrastructureError("the image has no /bin/sh")

    facts = facts_of("i", "x86_64", tmp_path / "kept", {}, opens)
    assert facts.absent == "the image has no /bin/sh"
    assert not list((tmp_path / "kept").iterdir())
