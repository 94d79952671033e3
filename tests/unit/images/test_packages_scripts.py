"""What package managers are told, by tools that write down what they were called with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from distromatrix.images.packages import MANAGERS, Addition, Mirror
from distromatrix.model import Repository

MIRROR = Mirror(url="http://mirror.example/linux/", repositories=("core/os/{arch}", "extra/{arch}"))


class Shell:
    """`sh -e` in which these tools are there, beside the usual ones, and in which files of a
    machine lie below a folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.calls.touch()
        for tool in ("sh", "cat", "rm", "sed", "sort", "tail", "tr", "mkdir", "grep"):
            where = next(p for p in (Path("/bin", tool), Path("/usr/bin", tool)) if p.exists())
            (self.bin / tool).symlink_to(where)

    def tool(self, name: str, script: str = "") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.calls}\n{script}\n')
        path.chmod(0o755)

    def file(self, path: str, text: str) -> None:
        at = self.root / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def run(self, script: str) -> int:
        for top in ("/etc/", "/usr/share/", "/var/"):
            script = script.replace(top, f"{self.root}{top}")
        environ = {**os.environ, "PATH": str(self.bin)}
        done = subprocess.run(("sh", "-e"), input=script, text=True, env=environ, check=False)
        return done.returncode

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


# --- dnf and its kin ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "used"),
    [
        (("dnf5", "dnf", "microdnf", "yum"), "dnf5"),
        (("dnf", "microdnf", "yum"), "dnf"),
        (("microdnf",), "microdnf"),
        (("yum",), "yum"),
    ],
)
def test_dnf_is_the_best_of_what_the_image_has(shell: Shell, there: tuple, used: str) -> None:
    for name in there:
        shell.tool(name)
    assert shell.run(MANAGERS["dnf"].install(("git", "gcc"))) == 0
    install = next(call for call in shell.called if " install " in call)
    assert install.startswith(f"{used} -y ")
    assert install.endswith(" install -- git gcc")
    assert {call.split()[0] for call in shell.called} == {used}
    assert shell.called[-1].endswith("clean all")


def test_microdnf_is_told_only_what_it_knows(shell: Shell) -> None:
    shell.tool("microdnf")
    shell.run(MANAGERS["dnf"].install(("git",)))
    assert shell.called[0] == (
        "microdnf -y --setopt=install_weak_deps=0 --setopt=tsflags=nodocs install -- git"
    )


@pytest.mark.parametrize("tool", ["dnf5", "dnf"])
def test_dnf_refreshes_wants_no_extras_and_passes_over_no_repository(
    shell: Shell, tool: str
) -> None:
    shell.tool(tool)
    shell.run(MANAGERS["dnf"].install(("git",)))
    for option in ("--refresh", "install_weak_deps=0", "nodocs", "skip_if_unavailable=0"):
        assert option in shell.called[0]


def test_a_failing_dnf_fails_the_script_and_leaves_its_lists_for_the_search(shell: Shell) -> None:
    shell.tool("dnf", 'case "$*" in *install*) exit 1;; esac')
    assert shell.run(MANAGERS["dnf"].install(("git",))) == 1
    assert len(shell.called) == 1


# --- zypper ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "ends"),
    [(0, 0), (100, 0), (101, 0), (102, 0), (107, 0), (4, 4), (8, 8), (104, 104), (106, 106)],
)
def test_zyppers_information_codes_are_no_failure(shell: Shell, status: int, ends: int) -> None:
    shell.tool("zypper", f'case "$*" in *install*) exit {status};; esac')
    assert shell.run(MANAGERS["zypper"].install(("git",))) == ends


def test_zypper_is_run_again_when_it_has_updated_itself(shell: Shell) -> None:
    again = f'if grep -c install {shell.calls} | grep -q "^1$"; then exit 103; fi'
    shell.tool("zypper", again)
    assert shell.run(MANAGERS["zypper"].install(("git",))) == 0
    installs = [call for call in shell.called if " install " in call]
    assert len(installs) == 2
    assert all("--no-recommends" in call and call.endswith("-- git") for call in installs)


# --- pacman ------------------------------------------------------------------------------------


def test_pacman_brings_the_whole_system_up_to_date_keys_first(shell: Shell) -> None:
    keyrings = 'case "$*" in -Qq) echo bash; echo arch-keyring; echo own-keyring;; esac\n'
    shell.tool("pacman", keyrings + 'case "$*" in "-Si own-keyring") exit 1;; esac')
    assert shell.run(MANAGERS["pacman"].install(("git",))) == 0
    options = "--noconfirm --needed --noprogressbar"
    assert [call for call in shell.called if "-Si" not in call and "-Qq" not in call] == [
        "pacman -S --help",
        f"pacman -Sy {options}",
        f"pacman -S {options} arch-keyring",
        f"pacman -Su {options} -- git",
    ]


def test_pacman_has_no_sandbox_of_its_own_where_it_knows_one(shell: Shell) -> None:
    shell.tool("pacman", 'case "$*" in *--help) echo "  --disable-sandbox";; esac')
    shell.run(MANAGERS["pacman"].install(("git",)))
    assert "--disable-sandbox" in shell.called[-1]


def test_pacmans_mirrors_are_one_list_for_all_repositories(shell: Shell) -> None:
    shell.file("etc/pacman.conf", "[core]\nInclude = /etc/pacman.d/mirrorlist\n")
    shell.file("etc/pacman.d/mirrorlist", "Server = http://old.example\n")
    conf = shell.root / "etc/pacman.conf"
    conf.write_text(conf.read_text().replace("/etc", f"{shell.root}/etc"))
    same = Mirror(url="http://m.example/", repositories=("core/os/{arch}", "extra/os/{arch}"))
    assert shell.run(MANAGERS["pacman"].use(same)) == 0
    assert shell.read("etc/pacman.d/mirrorlist") == "Server = http://m.example/$repo/os/$arch\n"


def test_a_pacman_that_has_no_such_list_is_no_silent_success(shell: Shell) -> None:
    shell.file("etc/pacman.conf", "[core]\nServer = http://old.example\n")
    assert shell.run(MANAGERS["pacman"].use(MIRROR)) == 1


# --- xbps --------------------------------------------------------------------------------------


def test_xbps_updates_itself_then_all_then_installs(shell: Shell) -> None:
    shell.tool("xbps-install")
    assert shell.run(MANAGERS["xbps"].install(("git", "gcc"))) == 0
    assert shell.called == [
        "xbps-install -Syu xbps",
        "xbps-install -yu",
        "xbps-install -y -- git gcc",
    ]


@pytest.mark.parametrize(("status", "ends", "calls"), [(17, 0, 3), (2, 2, 1)])
def test_that_something_is_there_already_is_no_failure_of_xbps(
    shell: Shell, status: int, ends: int, calls: int
) -> None:
    shell.tool("xbps-install", f"exit {status}")
    assert shell.run(MANAGERS["xbps"].install(("git",))) == ends
    assert len(shell.called) == calls


def test_xbpss_own_repositories_are_masked_by_the_mirrors(shell: Shell) -> None:
    shell.tool("xbps-uhelper", "echo aarch64-musl")
    for name in ("00-repository-main.conf", "10-repository-nonfree.conf", "xbps.conf"):
        shell.file(f"usr/share/xbps.d/{name}", "repository=http://old.example\n")
    assert shell.run(MANAGERS["xbps"].use(MIRROR)) == 0
    assert shell.read("etc/xbps.d/00-repository-main.conf") == (
        "repository=http://mirror.example/linux/core/os/aarch64-musl\n"
        "repository=http://mirror.example/linux/extra/aarch64-musl\n"
    )
    assert shell.read("etc/xbps.d/10-repository-nonfree.conf") == ""
    assert not (shell.root / "etc/xbps.d/xbps.conf").exists()


# --- mirrors of rpm's --------------------------------------------------------------------------

FEDORA = """\
[fedora]
name=Fedora
metalink=https://old.example/
enabled=1
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-$releasever-$basearch

[updates]
name=Updates
gpgkey=https://old.example/key
"""


@pytest.mark.parametrize(
    ("manager", "folder"), [("dnf", "etc/yum.repos.d"), ("zypper", "etc/zypp/repos.d")]
)
def test_a_mirror_is_the_only_enabled_repository_with_the_keys_that_were_trusted(
    shell: Shell, manager: str, folder: str
) -> None:
    shell.file(f"{folder}/fedora.repo", FEDORA)
    assert shell.run(MANAGERS[manager].use(MIRROR)) == 0
    old = shell.read(f"{folder}/fedora.repo")
    assert old.count("enabled=0") == 2
    assert "enabled=1" not in old
    key = "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-$releasever-$basearch"
    new = shell.read(f"{folder}/distromatrix.repo").replace(str(shell.root), "")
    assert "baseurl=http://mirror.example/linux/core/os/$basearch\nenabled=1\n" in new
    assert "baseurl=http://mirror.example/linux/extra/$basearch\nenabled=1\n" in new
    assert new.count("gpgcheck=1\n") == new.count(f"gpgkey={key} \n") == 2


def test_without_a_word_of_signatures_the_tools_own_default_stays(shell: Shell) -> None:
    assert shell.run(MANAGERS["dnf"].use(MIRROR)) == 0
    assert "gpg" not in shell.read("etc/yum.repos.d/distromatrix.repo")


# --- apt and apk -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before",
    [
        "deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://old.example bookworm main\n",
        "Types: deb\nURIs: http://old.example\nSigned-By: /usr/share/keyrings/x.gpg\n",
    ],
)
def test_apts_keyring_stays_the_one_that_its_sources_named(shell: Shell, before: str) -> None:
    (shell.bin / "head").symlink_to("/usr/bin/head")
    (shell.bin / "mv").symlink_to("/bin/mv")
    name = "sources.list" if before.startswith("deb") else "sources.list.d/debian.sources"
    shell.file(f"etc/apt/{name}", before)
    shell.file("etc/apt/sources.list.d/x", "")
    mirror = Mirror(url="http://m.example/debian", repositories=("bookworm main contrib", "x-up"))
    assert shell.run(MANAGERS["apt"].use(mirror)) == 0
    assert shell.read("etc/apt/sources.list.d/distromatrix.sources") == (
        "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main contrib\n"
        "Signed-By: /usr/share/keyrings/x.gpg\n\n"
        "Types: deb\nURIs: http://m.example/debian\nSuites: x-up\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/x.gpg\n\n"
    )
    assert not (shell.root / "etc/apt" / name).exists()
    assert shell.read(f"etc/apt/{name}.disabled") == before


def test_apk_writes_the_repositories_as_they_are(shell: Shell) -> None:
    shell.file("etc/apk/repositories", "http://old.example/main\n")
    mirror = Mirror(url="http://m.example/alpine", repositories=("v3.20/main", "v3.20/community"))
    shell.tool("apk", "echo x86_64")
    assert shell.run(MANAGERS["apk"].use(mirror)) == 0
    assert shell.read("etc/apk/repositories") == (
        "http://m.example/alpine/v3.20/main\nhttp://m.example/alpine/v3.20/community\n"
    )


# --- repositories beside those of the image -----------------------------------------------------


def adding(manager: str, key: str = "", **more: Any) -> str:
    add = MANAGERS[manager].add
    assert add is not None
    return add(Addition(name="added", repository=Repository(**more), key=key))


@pytest.mark.parametrize(
    "before",
    [
        "deb [signed-by=/usr/share/keyrings/x.gpg] http://old.example/debian bookworm main\n",
        "Types: deb\nURIs: http://old.example/debian\nSigned-By: /usr/share/keyrings/x.gpg\n",
    ],
)
def test_apt_takes_more_of_where_its_packages_come_from(shell: Shell, before: str) -> None:
    (shell.bin / "head").symlink_to("/usr/bin/head")
    name = "sources.list" if before.startswith("deb") else "sources.list.d/debian.sources"
    shell.file(f"etc/apt/{name}", before)
    shell.file("etc/apt/sources.list.d/x", "")
    assert shell.run(adding("apt", paths=("bookworm-backports main",))) == 0
    assert shell.read("etc/apt/sources.list.d/added.sources") == (
        "Types: deb\nURIs: http://old.example/debian\nSuites: bookworm-backports\n"
        "Components: main\nSigned-By: /usr/share/keyrings/x.gpg\n\n"
    )
    assert shell.read(f"etc/apt/{name}") == before


def test_apt_trusts_one_of_your_own_by_its_key_or_because_you_say_so(shell: Shell) -> None:
    shell.file("etc/apt/sources.list.d/x", "")
    own = {"url": "https://m.example", "paths": ("stable main extra",)}
    assert shell.run(adding("apt", key="/etc/apt/keyrings/k.asc", **own)) == 0
    signed = shell.read("etc/apt/sources.list.d/added.sources")
    assert "Suites: stable\nComponents: main extra\nSigned-By: " in signed
    assert shell.run(adding("apt", url="https://m.example")) == 0
    flat = shell.read("etc/apt/sources.list.d/added.sources")
    assert flat == "Types: deb\nURIs: https://m.example\nSuites: ./\nTrusted: yes\n\n"


def test_apk_appends_to_what_there_is(shell: Shell) -> None:
    (shell.bin / "head").symlink_to("/usr/bin/head")
    shell.file("etc/apk/repositories", "#x\nhttp://old.example/alpine/edge/main\n")
    assert shell.run(adding("apk", paths=("edge/testing",))) == 0
    assert shell.run(adding("apk", url="https://m.example/apk/", key="/etc/apk/keys/k")) == 0
    assert shell.read("etc/apk/repositories") == (
        "#x\nhttp://old.example/alpine/edge/main\nhttp://old.example/alpine/edge/testing\n"
        "https://m.example/apk\n"
    )


REPOS = """\
[crb]
name=CRB
enabled = 0
gpgcheck=1

[crb-debug]
name=debug
enabled=0
"""


def test_dnf_enables_the_one_that_is_named(shell: Shell) -> None:
    shell.file("etc/yum.repos.d/a.repo", REPOS)
    assert shell.run(adding("dnf", enable=("crb",))) == 0
    assert shell.read("etc/yum.repos.d/a.repo") == REPOS.replace("enabled = 0", "enabled=1")


def test_dnf_says_which_one_it_has_not(shell: Shell) -> None:
    shell.file("etc/yum.repos.d/a.repo", REPOS)
    assert shell.run(adding("dnf", enable=("powertools",))) == 1
    assert shell.read("etc/yum.repos.d/a.repo") == REPOS


@pytest.mark.parametrize(
    ("manager", "folder"), [("dnf", "yum.repos.d"), ("zypper", "zypp/repos.d")]
)
def test_rpms_of_your_own_are_checked_unless_you_say_that_nobody_signs(
    shell: Shell, manager: str, folder: str
) -> None:
    shell.tool("rpm")
    own = {"url": "https://m.example/x/", "paths": ("9/{arch}", "noarch")}
    assert shell.run(adding(manager, key="/usr/key", **own)) == 0
    signed = shell.read(f"etc/{folder}/added.repo")
    assert "[added-1]\nname=https://m.example/x/9/$basearch\n" in signed
    assert "[added-2]\nname=https://m.example/x/noarch\n" in signed
    assert signed.count("gpgcheck=1\ngpgkey=file:///usr/key\n") == 2
    assert shell.called == ["rpm --import /usr/key"]
    assert shell.run(adding(manager, **own)) == 0
    assert shell.read(f"etc/{folder}/added.repo").count("gpgcheck=0") == 2
    assert len(shell.called) == 1
