"""doctor: what it says of a machine, without touching one."""

from dataclasses import replace
from pathlib import Path

import pytest
from doctor_hosts import ADA, FACTS, FakeEngine
from rich.console import Console

from distromatrix import doctor
from distromatrix.doctor import engine as engine_looks
from distromatrix.doctor.host import Host, families, look_at_host
from distromatrix.doctor.model import Check
from distromatrix.doctor.reach import ask_registries, registry_check, registry_host
from distromatrix.doctor.tools import tool_checks
from distromatrix.engines.contract import EngineFacts
from distromatrix.load.settings import Settings
from distromatrix.model import Archive, Bootstrap, Distro, Pull


def distro(*image: Pull | Bootstrap | Archive) -> Distro:
    return Distro(
        name="debian-12",
        title="Debian 12",
        family="debian",
        package_manager="apt",
        libc="glibc",
        image=image,
    )


def examine(
    facts: EngineFacts | None, host: Host = ADA, environ: dict[str, str] | None = None
) -> dict[str, Check]:
    checks = doctor.examine(
        Settings(),
        environ or {},
        host=host,
        distros=(distro(Pull(ref="docker.io/library/debian:12")),),
        open_engine=lambda _: FakeEngine(facts),
        ask_registry=lambda _: "",
    )
    return {check.name: check for check in checks}


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An engine that runs on the tests' own machine must not answer for the imagined one."""
    monkeypatch.setattr(engine_looks, "DOCKER_SOCKET", tmp_path / "docker.sock")
    monkeypatch.setattr(engine_looks, "podman_sockets", lambda _: ())


def test_a_fit_engine_is_fine_in_every_respect() -> None:
    checks = examine(FACTS)
    for name in ("container engine", "rights on the socket", "storage driver", "cgroup version"):
        assert checks[name].status == "ok"
    assert checks["container engine"].found == "Docker 20.10.24 (API 1.41)"


def test_an_absent_engine_is_answered_with_the_commands_that_install_and_start_it() -> None:
    check = examine(None)["container engine"]
    assert (check.status, check.install, check.start, check.let_in) == (
        "missing",
        "engine",
        True,
        True,
    )
    assert check.mend == (
        "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y"
        " --no-install-recommends docker.io",
        "sudo sh -c 'setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &'",
        "sudo usermod -aG docker ada",
    )


def test_root_needs_neither_sudo_nor_a_group() -> None:
    check = examine(None, replace(ADA, root=True, user="root"))["container engine"]
    assert not any("sudo" in command or "usermod" in command for command in check.mend)


def test_an_installed_engine_is_only_started() -> None:
    host = replace(ADA, root=True, dockerd=True, init="systemd")
    check = examine(None, host)["container engine"]
    assert (check.install, check.start) == (None, True)
    assert check.mend == ("systemctl enable --now docker",)


def test_a_docker_host_that_does_not_answer_is_the_users_to_change() -> None:
    check = examine(None, environ={"DOCKER_HOST": "tcp://me:s3kr@far:2375"})["container engine"]
    assert "DOCKER_HOST=tcp://***@far:2375" in check.found
    assert check.mend == ("unset DOCKER_HOST",)
    assert not (check.install or check.start)


def test_podmans_socket_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "podman.sock"
    monkeypatch.setattr(engine_looks, "podman_sockets", lambda _: (path,))
    monkeypatch.setattr(engine_looks, "answers", lambda asked: asked == path)
    check = examine(None)["container engine"]
    assert check.mend == (f"export DOCKER_HOST=unix://{path}",)


@pytest.mark.parametrize(("member", "status"), [(False, "missing"), (True, "warning")])
def test_lacking_rights_are_told_from_a_missing_engine(
    monkeypatch: pytest.MonkeyPatch, member: bool, status: str
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(engine_looks, "podman_sockets", lambda _: ())
    monkeypatch.setattr(engine_looks, "ping", refuse)
    checks = examine(None, replace(ADA, in_docker_group=member))
    assert "container engine" not in checks
    assert checks["rights on the socket"].status == status
    assert checks["rights on the socket"].let_in is not member


@pytest.mark.parametrize("driver", ["vfs", "native"])
def test_old_cgroups_and_copying_storage_are_warned_of(driver: str) -> None:
    checks = examine(replace(FACTS, storage_driver=driver, cgroup_version="1"))
    assert (checks["storage driver"].status, checks["storage driver"].found) == ("warning", driver)
    assert checks["cgroup version"].status == "warning"
    assert "systemd" in checks["cgroup version"].why


def test_a_remote_engines_disk_and_socket_are_not_ours_to_look_at() -> None:
    checks = examine(replace(FACTS, local=False))
    assert "disk space" not in checks
    assert "rights on the socket" not in checks


@pytest.mark.parametrize(("free", "status"), [(50, "ok"), (5, "warning"), (1, "missing")])
def test_little_disk_space_is_told(monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    usage = (0, 0, free * 1024**3)
    monkeypatch.setattr(engine_looks.shutil, "disk_usage", lambda _: Usage(*usage))
    assert examine(FACTS)["disk space"].status == status


class Usage:
    def __init__(self, total: int, used: int, free: int) -> None:
        self.total, self.used, self.free = total, used, free


@pytest.mark.parametrize(
    ("ref", "host"),
    [
        ("docker.io/library/debian:12", "docker.io"),
        ("debian:12", "docker.io"),
        ("library/debian", "docker.io"),
        ("registry.example.org/fedora:43", "registry.example.org"),
        ("localhost/x", "localhost"),
        ("mirror:5000/x", "mirror:5000"),
    ],
)
def test_the_registry_of_a_reference(ref: str, host: str) -> None:
    assert registry_host(ref) == host


def test_each_registry_is_asked_once_and_silence_is_a_warning() -> None:
    asked: list[str] = []

    def ask(host: str) -> str:
        asked.append(host)
        return "not in reach" if host == "docker.io" else ""

    check = registry_check(ask_registries(["debian:12", "debian:13", "quay.io/x"], ask))
    assert sorted(asked) == ["docker.io", "quay.io"]
    assert check.status == "warning"
    assert check.found == "docker.io: not in reach; quay.io in reach"


@pytest.mark.parametrize(
    ("answers", "status", "found"),
    [
        ({}, "ok", "none is used"),
        ({"ghcr.io": "", "docker.io": ""}, "ok", "docker.io, ghcr.io in reach"),
        (dict.fromkeys("abcde", "") | {"docker.io": ""}, "ok", "docker.io, a and 4 more in reach"),
        (
            {"a.io": "", "b.io": "not in reach", "c.io": "not in reach", "d.io": "answers 503"},
            "warning",
            "b.io, c.io: not in reach; d.io: answers 503; a.io in reach",
        ),
    ],
)
def test_many_registries_are_one_short_line(
    answers: dict[str, str], status: str, found: str
) -> None:
    check = registry_check(answers)
    assert (check.status, check.found) == (status, found)


def test_the_catalogues_registries_are_told_in_80_columns() -> None:
    checks = doctor.examine(
        Settings(),
        {},
        host=ADA,
        open_engine=lambda _: FakeEngine(FACTS),
        ask_registry=lambda _: "not in reach",
    )
    (found,) = (check.found for check in checks if check.name == "image registry")
    assert len(found) < 80
    assert found.startswith("docker.io, ")


def test_the_users_registry_is_asked_in_the_place_of_docker_hub() -> None:
    asked: list[str] = []

    def ask(host: str) -> str:
        asked.append(host)
        return ""

    doctor.examine(
        Settings(registry="mirror.example.org/hub"),
        {},
        host=ADA,
        distros=(distro(Pull(ref="docker.io/library/debian:12")),),
        open_engine=lambda _: FakeEngine(FACTS),
        ask_registry=ask,
    )
    assert asked == ["mirror.example.org"]


def test_offline_no_registry_is_asked_and_nothing_needs_to_be_built() -> None:
    def ask(host: str) -> str:
        raise AssertionError(host)

    checks = doctor.examine(
        Settings(offline=True),
        {},
        host=ADA,
        distros=(distro(Pull(ref="docker.io/library/debian:12")),),
        open_engine=lambda _: FakeEngine(FACTS),
        ask_registry=ask,
    )
    found = {check.name: check for check in checks}
    assert found["image registry"].found == "not asked: offline is set"
    assert not [check for check in checks if check.status == "missing"]


@pytest.mark.parametrize(("away", "status"), [("quay.io", "warning"), ("docker.io", "missing")])
def test_bootstrapping_is_indispensable_only_where_its_registry_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, away: str, status: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    built = Bootstrap(tool="mmdebstrap", suite="bookworm")
    checks = doctor.examine(
        Settings(),
        {},
        host=ADA,
        distros=(
            distro(Pull(ref="docker.io/library/debian:12"), built),
            replace(distro(Pull(ref="quay.io/x/y:1")), name="other"),
        ),
        open_engine=lambda _: FakeEngine(FACTS),
        ask_registry=lambda host: "not in reach" if host == away else "",
    )
    (check,) = (check for check in checks if check.name == "image tools")
    assert (check.status, check.install) == (status, "bootstrap")
    assert ("debian-12" in check.why) is (status == "missing")


def test_only_what_mmdebstrap_builds_asks_for_it() -> None:
    made = distro(Bootstrap(tool="dnf", packages=("bash",)))
    assert tool_checks((made,), (made,), (), ADA)[0].name == "tar"


def test_another_familys_tool_is_recommended_for_distros_with_a_mirror_and_never_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    suse = replace(distro(Bootstrap(tool="zypper", packages=("bash",))), name="opensuse-leap-16.0")
    arch = replace(distro(Bootstrap(tool="pacman", packages=("base",))), name="archlinux")
    checks = doctor.examine(
        Settings(mirrors={"opensuse-leap": "http://mirror.example/opensuse"}),
        {},
        host=ADA,
        distros=(suse, arch),
        open_engine=lambda _: FakeEngine(FACTS),
        ask_registry=lambda host: "",
    )
    (check,) = (check for check in checks if check.name == "bootstrap tools")
    assert (check.status, check.install) == ("warning", None)
    assert check.found == "no zypper, no rpm"
    assert check.why.endswith(": opensuse-leap-16.0")
    assert check.mend == ("apt-get install zypper", "apt-get install rpm")


def test_of_many_distros_that_are_built_a_few_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    one = distro(Bootstrap(tool="mmdebstrap", suite="bookworm"))
    many = tuple(replace(one, name=f"d-{number}") for number in range(9))
    assert tool_checks(many, many, (), ADA)[0].why.endswith("d-0, d-1, d-2, d-3, d-4 and 4 more")


def test_an_archive_is_looked_for_in_the_users_folders(tmp_path: Path) -> None:
    distros = (distro(Archive(file="rootfs.tar.gz", sha256="0" * 64)),)
    look = lambda: tool_checks(distros, distros, (tmp_path,), ADA)[0]  # noqa: E731
    assert look().status == "warning"
    (tmp_path / "rootfs.tar.gz").touch()
    assert look().status == "ok"


def test_the_host_is_known_by_its_os_release(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    release = 'PRETTY_NAME="Mint 22"\nID=linuxmint\nID_LIKE="ubuntu debian"\n# no = assignment\n'
    (etc / "os-release").write_text(release)
    host = look_at_host({"PATH": ""}, tmp_path)
    assert (host.title, host.init) == ("Mint 22", "none")
    assert host.family == families()["debian"]
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert look_at_host({"PATH": ""}, tmp_path).init == "systemd"


def test_an_unknown_host_is_no_error(tmp_path: Path) -> None:
    assert look_at_host({}, tmp_path).family is None


def test_each_check_is_one_line_with_its_commands_below(capsys: pytest.CaptureFixture[str]) -> None:
    fine = Check(name="git", status="ok", found="/usr/bin/git", why="unsaid")
    bad = Check(name="tar", status="missing", found="not [here]", why="because", mend=("get tar",))
    doctor.render(Console(width=20, force_terminal=False), (fine, bad))
    assert capsys.readouterr().out.splitlines() == [
        " ok  git  /usr/bin/git",
        "  ✗  tar  not [here]",
        "     because",
        "     $ get tar",
    ]
