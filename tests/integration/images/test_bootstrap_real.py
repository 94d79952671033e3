"""The real dnf, zypper, pacman and apk build real images out of tiny distributions, in a machine
of Debian 12 that has these tools."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator

import pytest
from apk_format import tar_of
from bootstrap_world import (
    PYTHON,
    TOOLS,
    Bootstrapper,
    bootstrapper,
    command,
    keys_of,
    serving,
)
from images_world import World, told
from local_repositories import REPOSITORIES, Kind

from distromatrix.engines import open_engine
from distromatrix.images.store.inventory import list_images
from distromatrix.load.settings import load_settings

pytestmark = [pytest.mark.engine, pytest.mark.slow]

NOWHERE = "http://127.0.0.1:9"
ALL = tuple(TOOLS)
MANAGERS = ("apk", "pacman")  # whose images install packages in the image as well

Url = Callable[[Kind], str]


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bootstrapper]:
    world = World(open_engine("docker"), load_settings())
    with bootstrapper(world, tmp_path_factory.mktemp("bootstrap")) as made:
        yield made


@pytest.fixture(scope="module")
def url(at: Bootstrapper) -> Iterator[Url]:
    """The signed mirrors."""
    with serving(at.signed(), at) as found:
        yield found


@pytest.fixture(scope="module")
def unsigned(at: Bootstrapper) -> Iterator[Url]:
    with serving(at.unsigned(), at) as found:
        yield found


@pytest.mark.parametrize("tool", ALL)
def test_the_image_opens_and_answers(at: Bootstrapper, url: Url, tool: str) -> None:
    at.told("touch /root/before; sleep 1")
    (done,) = at.bootstrap(at.job(tool, url))
    assert "tar" in done, done
    changed = "find /etc /usr /var /root -xdev -newer /root/before -type f ! -path '/root/build/*'"
    touched = at.told(f"{changed} ! -name '*.pyc' ! -path '/root/.gnupg/*'").split()
    assert set(touched) <= {"/root/before", "/var/lib/YaST2/cookies"}  # (that one libzypp's)
    with at.world.machine(at.load(done["tar"]).id) as machine:
        assert f"Testix {TOOLS[tool]}" in told(machine, "cat /etc/os-release")
        assert told(machine, "id -un; stat -c %u:%g /bin/busybox") == "root\n0:0"
        assert told(machine, "ls /usr/bin").split() == [
            "capable"
        ]  # nothing that is only weakly wanted
        assert url(TOOLS[tool]) in told(
            machine, "cat /etc/yum.repos.d/* /etc/zypp/repos.d/* /etc/pacman.d/mirrorlist "
            "/etc/apk/repositories 2>/dev/null || :",
        )  # fmt: skip
        folders = "$(ls -d /var/cache /var/log 2>/dev/null) /dev"
        assert told(machine, f"find {folders} -xdev -type f; ls -d /proc/1") == "/proc/1"
        if TOOLS[tool] == "rpm":
            held = io.BytesIO(b"".join(machine.get("/usr/bin/capable")))
            with tarfile.open(fileobj=held) as tar:
                attributes = tar.getmember("capable").pax_headers
            assert "SCHILY.xattr.security.capability" in attributes
        if tool != "apk":  # Alpine has its documentation in packages of their own
            assert told(machine, "ls /usr/share/doc/base 2>/dev/null || :") == ""


WRONG = {
    "wrong package": ({"packages": ["base", "nosuch"]}, "ImageError", "nosuch"),
    "no mirror": (
        {"mirror": NOWHERE},
        "OutOfReachError",
        "package mirror not reachable.*127.0.0.1",
    ),
    "wrong place": ({"repositories": ["gone/os/{arch}"]}, "ImageError", "gone"),
    "one of two": ({"repositories": "more"}, "ImageError", "gone"),
    "no key": ({"options": []}, "ImageError", "cannot be checked.*--keys=FILE"),
    "wrong key": ({"options": "other"}, "ImageError", "a signature does not hold"),
    "unsigned": ({"mirror": "unsigned"}, "ImageError", "a signature does not hold"),
    "switched off": (
        {"mirror": "unsigned", "options": ["--no-signatures"]},
        "",
        "rootfs.tar",
    ),
}


@pytest.mark.parametrize("tool", ALL)
def test_each_failure_is_told_as_what_it_is(
    at: Bootstrapper, url: Url, unsigned: Url, tool: str
) -> None:
    kind = TOOLS[tool]
    at.told(
        "cd /opt; [ -e other.pub ] || { gpg --batch -q --passphrase '' --quick-gen-key "
        "other-test rsa2048 sign never; gpg --armor --export other-test >other.asc; "
        "openssl genrsa 2048 2>/dev/null | openssl rsa -pubout >other.pub; }"
    )
    special = {
        "more": [*REPOSITORIES[kind], "gone/os/{arch}"],
        "other": [f"--keys=/opt/other.{'pub' if tool == 'apk' else 'asc'}"],
        "unsigned": unsigned(kind),
    }
    jobs = []
    for changed, _, _ in WRONG.values():
        jobs.append(at.job(tool, url, **{k: special.get(str(v), v) for k, v in changed.items()}))
    wrong = []
    for (name, expected), result in zip(WRONG.items(), at.bootstrap(*jobs), strict=True):
        _, error, text = expected
        told_as = (result.get("error", ""), result.get("tar") or result["text"])
        if told_as[0] != error or not re.search(text, told_as[1]):
            wrong.append((name, told_as))
    assert not wrong


@pytest.mark.parametrize("tool", ALL)
def test_a_full_disk_is_told_as_such(at: Bootstrapper, url: Url, tool: str) -> None:
    at.told("mkdir -p /root/small; mount -t tmpfs -o size=1500k small /root/small")
    try:
        (result,) = at.bootstrap(at.job(tool, url, folder="/root/small/build"))
    finally:
        at.told("umount /root/small")
    assert "disk is full" in result.get("text", ""), result


@pytest.mark.parametrize("tool", ALL)
def test_without_root_a_user_namespace_stands_in_for_it(
    at: Bootstrapper, url: Url, tool: str
) -> None:
    user = "setpriv --reuid=tester --regid=tester --init-groups --"
    can = at.told(f"{user} unshare --map-auto --map-root-user true 2>/dev/null && echo y || :")
    job = at.job(tool, url, folder=f"/home/tester/{tool}")
    (result,) = at.bootstrap(job, prefix=user)
    if can == "y":
        listed = at.told(f"tar -tvf {result.get('tar')} --numeric-owner ./bin/busybox")
        assert " 0/0 " in listed
    else:
        assert "needs root, or a user namespace" in result["text"]


@pytest.mark.parametrize("tool", ALL)
def test_a_build_ends_with_us_when_we_are_killed(at: Bootstrapper, url: Url, tool: str) -> None:
    """The mirror takes the connection and never answers."""
    mounts = at.told("cat /proc/mounts")
    at.told(
        "python3 -c 'import socket, time; s = socket.create_server((\"\", 8099)); time.sleep(999)' "
        ">/dev/null 2>&1 & echo $! >/root/silent; sleep 0.5"
    )
    job = at.job(tool, url, mirror="http://127.0.0.1:8099")
    at.told(f"{command(job)} >/dev/null 2>&1 & echo $! >/root/driver")
    mine = f"build/{tool[:-1]}[{tool[-1]}]/"  # (not this very command)
    busy = f"cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -ac '{mine}' || :"
    wait_for(lambda: at.told(busy) != "0", "the tool to start")
    at.told("kill -9 $(cat /root/driver)")
    wait_for(lambda: at.told(busy) == "0", "the tool to end")
    at.told("kill $(cat /root/silent)")
    assert at.told("cat /proc/mounts") == mounts
    (again,) = at.bootstrap(at.job(tool, url))
    assert "tar" in again


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


DISTRO = """
title: Testix of {tool}
family: other
package_manager: {manager}
libc: musl
repositories: {repositories}
image:
  - bootstrap: {{tool: {tool}, packages: [base, manager], options: ["--keys={keys}"]}}
"""
MATRIX = """
distros: [testix-*]
suites:
  answers: {run: 'grep Testix /etc/os-release; [ ! -e /usr/bin/rpm ] || /usr/bin/rpm -q base'}
  installs: {packages: [hello], run: hello}
rules:
  - {distro: testix-dnf, suite: installs, skip: there is no dnf in it}
  - {distro: testix-zypper, suite: installs, skip: there is no zypper in it}
"""


def test_a_matrix_runs_on_bootstrapped_distros_and_installs_packages_there(
    at: Bootstrapper, url: Url
) -> None:
    """The whole command, in a machine that has the tools and the engine's socket."""
    files = {"matrix/default.yaml": MATRIX}
    mirrors = {}
    for tool, kind in TOOLS.items():
        repositories = json.dumps(REPOSITORIES[kind])
        manager = tool if tool in MANAGERS else "none"
        mirrors[f"testix-{tool}"] = url(kind)
        files[f"distros/testix-{tool}.yaml"] = DISTRO.format(
            tool=tool, manager=manager, repositories=repositories, keys=keys_of(tool)
        )
    config = f"mirrors: {json.dumps(mirrors)}\n"
    at.machine.put(
        tar_of(
            {
                "root/.config/distromatrix/config.yaml": config.encode(),
                **{f"root/product/{path}": text.encode() for path, text in files.items()},
            }
        ),
        "/",
    )
    run = f"cd /root/product; {PYTHON} -m distromatrix"
    try:
        shown = at.told(f"{run} run --trust 2>&1")
        results = json.loads(at.told("cat /root/product/.distromatrix/runs/latest/results.json"))
        verdicts = {cell["id"]: cell["verdict"] for cell in results["cells"]}
        assert verdicts == {
            **{f"testix-{tool}/answers": "passed" for tool in ALL},
            **{
                f"testix-{tool}/installs": "passed" if tool in MANAGERS else "skipped"
                for tool in ALL
            },
        }, shown
        assert {c["image"]["source"] for c in results["cells"] if c.get("image")} == {"bootstrap"}
    finally:
        for row in list_images(at.world.engine.images):
            if row.distro in mirrors:
                at.world.engine.images.remove(row.tag)
