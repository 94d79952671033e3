"""What each bootstrap tool is told, and how what it prints is read. That the tools do it is
held by tests/integration/images/test_bootstrap_real.py."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from images_fakes import distro

from distromatrix.errors import ImageError
from distromatrix.images.base.bootstrap import TOOLS, OutOfReachError, bootstrap
from distromatrix.images.base.bootstrap.base import BootstrapJob
from distromatrix.images.base.sources import base_tag
from distromatrix.load.settings import Settings
from distromatrix.model import Bootstrap, Distro

MIRROR = "http://mirror.example/pub"
TREES = ("dnf", "zypper", "pacman", "apk")


def job(tool: str, keys: tuple[Path, ...] = (), **source: object) -> BootstrapJob:
    values = {"tool": tool, "suite": "43", "packages": ("bash", "os-release"), **source}
    return BootstrapJob(
        source=Bootstrap(**values),
        mirror=MIRROR,
        repositories=(f"{MIRROR}/core/os/x86_64", f"{MIRROR}/extra/os/x86_64"),
        arch="x86_64",
        keys=keys,
        folder=Path("/t"),
    )


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "testix.asc").write_text("a key")
    return tmp_path / "testix.asc"


def test_mmdebstrap_takes_the_users_options_packages_and_mirror() -> None:
    wanted = replace(job("mmdebstrap").source, options=("--components=main contrib",))
    script = TOOLS["mmdebstrap"].work(replace(job("mmdebstrap"), source=wanted)).script
    assert script.endswith(f"43 /t/rootfs.tar {MIRROR}\n")
    assert "'--components=main contrib'" in script
    assert "--include=bash,os-release" in script
    script = TOOLS["mmdebstrap"].work(replace(job("mmdebstrap"), mirror="")).script
    assert script.endswith("43 /t/rootfs.tar\n")


@pytest.mark.parametrize("tool", TREES)
def test_the_image_gets_its_repositories_and_their_keys(tool: str, key: Path) -> None:
    work = TOOLS[tool].work(job(tool, (key,)))
    image = {path: text for path, text in work.files.items() if path.startswith("image/")}
    text = "\n".join(t if isinstance(t, str) else t.decode() for t in image.values())
    for name in ("core", "extra"):
        inside = (f"[{name}]", f"{MIRROR}/$repo/os/x86_64")  # pacman's way
        assert f"{MIRROR}/{name}/os/x86_64" in text or all(part in text for part in inside)
    assert "a key" in text or "etc/pacman.d/gnupg" in work.script


@pytest.mark.parametrize("tool", TREES)
def test_signatures_are_only_left_unchecked_where_there_are_no_keys(tool: str, key: Path) -> None:
    unchecked = ("gpgcheck=0", "SigLevel = Never", "--allow-untrusted", "--no-gpg-checks")

    def said(wanted: BootstrapJob) -> bool:
        work = TOOLS[tool].work(wanted)
        texts = (work.script, *(t for t in work.files.values() if isinstance(t, str)))
        return any(word in text for word in unchecked for text in texts)

    assert not said(job(tool, (key,)))
    assert said(job(tool))


@pytest.mark.parametrize("tool", TREES)
def test_our_options_are_not_the_tools(tool: str) -> None:
    options = ("--keys=/k", "--no-signatures", "--own=x y")
    script = TOOLS[tool].work(job(tool, options=options)).script
    assert "'--own=x y'" in script
    assert "--keys=" not in script.replace("--keys-dir", "")
    assert "--no-signatures" not in script


# --- what was printed (by dnf 4.14, zypper 1.14, pacman 6.0, apk 2.14) ---------------------------

PRINTED = {
    ("dnf", "not-found", "package 'nosuch' not found"): (
        "No match for argument: nosuch\nError: Unable to find a match: nosuch\n"
    ),
    ("dnf", "not-found", "Status code: 404 for http://m/rpm/repodata/repomd.xml (IP: ::1)"): (
        "Errors during downloading metadata for repository 'distromatrix-1':\n"
        "  - Status code: 404 for http://m/rpm/repodata/repomd.xml (IP: ::1)\n"
        "Error: Failed to download metadata for repo 'distromatrix-1': Cannot download repomd.xml\n"
    ),
    ("dnf", "unreachable", "Curl error (6): Couldn't resolve host name for http://m.invalid/x"): (
        "  - Curl error (6): Couldn't resolve host name for http://m.invalid/x\n"
        "Error: Failed to download metadata for repo 'distromatrix-1': Cannot download repomd.xml\n"
    ),
    ("dnf", "signature", "Package hello-1.0-1.x86_64.rpm is not signed"): (
        "Package hello-1.0-1.x86_64.rpm is not signed\nError: GPG check FAILED\n"
    ),
    ("dnf", "signature", "Public key for hello-1.0-1.x86_64.rpm is not installed."): (
        "Importing GPG key 0x2BCA3D37:\nKey imported successfully\n"
        "Public key for hello-1.0-1.x86_64.rpm is not installed.\nError: GPG check FAILED\n"
    ),
    ("zypper", "not-found", "package 'nosuch' not found"): (
        "'nosuch' not found in package names. Trying capabilities.\n"
        "No provider of 'nosuch' found.\n"
    ),
    ("zypper", "unreachable", "Could not resolve host: m.invalid"): (
        "[distromatrix-1|http://m.invalid/] Valid metadata not found at specified URL\nHistory:\n"
        " - Download (curl) error for 'http://m.invalid/content':\nError code: Connection failed\n"
        "Error message: Could not resolve host: m.invalid\n"
    ),
    ("zypper", "not-found", "[distromatrix-1|http://m/] Repository type can't be determined."): (
        "[distromatrix-1|http://m/] Valid metadata not found at specified URL\nHistory:\n"
        " - [distromatrix-1|http://m/] Repository type can't be determined.\n"
    ),
    ("zypper", "signature", "File 'repomd.xml' from repository 'x' is unsigned"): (
        "Warning: File 'repomd.xml' from repository 'x' is unsigned.\n"
        "[distromatrix-1|http://m/] Valid metadata not found at specified URL\n"
        "History:\n - Signature verification failed for repomd.xml\n"
    ),
    ("pacman", "not-found", "package 'nosuch' not found"): "error: target not found: nosuch\n",
    ("pacman", "unreachable", "failed retrieving file 'core.db' from m : Could not resolve host"): (
        "error: failed retrieving file 'core.db' from m : Could not resolve host\n"
        "error: failed to synchronize all databases (failed to retrieve some files)\n"
    ),
    ("pacman", "not-found", "failed retrieving file 'c.db' from m : The URL returned error: 404"): (
        "error: failed retrieving file 'c.db' from m : The URL returned error: 404\n"
        "error: failed to synchronize all databases (failed to retrieve some files)\n"
    ),
    ("pacman", "signature", 'core: key "90C7" is unknown'): (
        'error: core: key "90C7" is unknown\n'
        "error: failed to synchronize all databases (invalid or corrupted database (PGP "
        "signature))\n"
    ),
    ("apk", "not-found", "package 'nosuch' not found"): (
        "ERROR: unable to select packages:\n  nosuch (no such package):\n"
    ),
    ("apk", "unreachable", "updating and opening http://m/v1/main: DNS lookup error"): (
        "WARNING: updating and opening http://m/v1/main: DNS lookup error\n1 unavailable\n"
    ),
    ("apk", "signature", "updating and opening http://m/v1/main: UNTRUSTED signature"): (
        "WARNING: updating and opening http://m/v1/main: UNTRUSTED signature\n1 unavailable\n"
    ),
    ("mmdebstrap", "full", "E: write error: No space left on device"): (
        "E: write error: No space left on device\nE: mmdebstrap failed to run\n"
    ),
    ("dnf", "other", "something else"): "Error: something else\n",
}


@pytest.mark.parametrize("expected", PRINTED, ids=lambda e: f"{e[0]}-{e[1]}")
def test_what_a_tool_prints_is_understood(expected: tuple[str, str, str]) -> None:
    tool, kind, text = expected
    found = TOOLS[tool].failure("before\n" + PRINTED[expected] + "after\n")
    assert (found.kind, found.text) == (kind, text)


# --- what must be there first -----------------------------------------------------------------


@pytest.fixture
def try_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Bootstrap where all tools are no-ops that leave an empty tar."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("dnf", "zypper", "rpm", "pacman", "pacman-key", "gpg", "apk"):
        (folder / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin:/usr/sbin:/sbin")
    monkeypatch.setattr("distromatrix.images.base.bootstrap.as_root", lambda: ())

    def run(tool: str, mirror: str = MIRROR, **more: object) -> Path:
        source = Bootstrap(tool=tool, packages=("x",), options=more.pop("options", ()))  # type: ignore[arg-type]
        values = {"name": "testix-1", "repositories": ("a",), "file": tmp_path / "t.yaml", **more}
        wanted = distro(source, **values)
        return bootstrap(source, wanted, mirror, tmp_path / "build", threading.Event())

    return run


def test_without_a_mirror_the_setting_is_named_that_gives_one(try_it: Callable[..., Path]) -> None:
    with pytest.raises(OutOfReachError, match=r"`mirrors: \{testix: URL\}` in config.yaml"):
        try_it("dnf", mirror="")


def test_a_missing_tool_is_told_with_how_it_is_had(
    try_it: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OutOfReachError, match="apt-get install pacman-package-manager"):
        try_it("pacman")


@pytest.mark.parametrize("tool", TREES)
def test_without_keys_nothing_is_built_unchecked(try_it: Callable[..., Path], tool: str) -> None:
    with pytest.raises(ImageError, match=r"cannot be checked.*--keys=FILE.*--no-signatures"):
        try_it(tool)


def test_keys_are_looked_for_beside_the_distros_file(
    try_it: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=rf"no keys/\*\.asc in {tmp_path}, .*distribution-gpg"):
        try_it("apk", options=("--keys=keys/*.asc",))
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/one.asc").write_text("1")
    (tmp_path / "keys/two.asc").write_text("2")
    try_it("apk", options=("--keys=keys/*.asc",))
    assert (tmp_path / "build/image/etc/apk/keys/two.asc").read_text() == "2"


@pytest.mark.parametrize(
    "other",
    [
        {"packages": ("bash",)},
        {"options": ("--no-signatures",)},
        {"suite": "44"},
        {"repositories": ("b/{arch}",)},
        {"mirror": "http://other.example/"},
    ],
    ids=str,
)
def test_all_that_decides_what_an_image_holds_is_in_its_tag(other: dict[str, object]) -> None:
    def tag(packages=("x",), options=(), suite="43", repositories=("a",), mirror=MIRROR) -> str:
        source = Bootstrap(tool="dnf", suite=suite, packages=packages, options=options)
        one: Distro = distro(source, name="testix-1", repositories=repositories)
        return base_tag(one, source, Settings(mirrors={"testix": mirror}))

    assert tag() == tag()
    assert tag(**other) != tag()
