"""The user's own settings: the file, and the environment over it."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from distromatrix.errors import InputError
from distromatrix.load import Settings, load_distros, load_settings

FULL = """\
registry: mirror.example:5000/hub
mirrors: {debian: http://mirror.example/debian, debian-sid: http://sid.example/}
archive_mirrors: {debian: http://archive.example/debian}
engine: docker
jobs: 3
archives: [roots, /srv/roots]
accel: tcg
keep_products: 3G
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, FULL), {}) == Settings(
        registry="mirror.example:5000/hub",
        mirrors={
            "debian": "http://mirror.example/debian",
            "debian-sid": "http://sid.example/",
        },
        archive_mirrors={"debian": "http://archive.example/debian"},
        engine="docker",
        jobs=3,
        archives=(tmp_path / "roots", Path("/srv/roots")),
        accel="tcg",
        keep_products=3 * 1024**3,
    )


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    settings = load_settings(
        write(tmp_path, FULL),
        {
            "DISTROMATRIX_REGISTRY": "other.example",
            "DISTROMATRIX_JOBS": "auto",
            "DISTROMATRIX_ARCHIVES": f"{tmp_path}/a:{tmp_path}/b",
            "DISTROMATRIX_ACCEL": "kvm",
        },
    )
    assert settings.accel == "kvm"
    assert settings.registry == "other.example"
    assert settings.jobs is None
    assert settings.archives == (tmp_path / "a", tmp_path / "b")


def test_an_empty_variable_sets_nothing(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, FULL), {"DISTROMATRIX_JOBS": ""}).jobs == 3


@pytest.mark.parametrize("engine", ["podman", "vagrant", "fake"])
def test_inside_a_cell_its_engine_is_no_setting_and_all_others_are(
    tmp_path: Path, engine: str
) -> None:
    cell = {"DISTROMATRIX_CELL": "a/unit", "DISTROMATRIX_ENGINE": engine, "DISTROMATRIX_JOBS": "4"}
    inside = load_settings(write(tmp_path, "jobs: 3\n"), cell)
    assert (inside.engine, inside.jobs) == ("docker", 4)
    assert load_settings(write(tmp_path, "engine: podman\n"), cell).engine == "podman"


def test_without_a_file_all_is_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_settings(None, {}) == Settings()


def test_the_file_is_in_the_platforms_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "distromatrix").mkdir()
    write(tmp_path / "distromatrix", "jobs: 7\n")
    assert load_settings(None, {}).jobs == 7


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_settings(tmp_path / "gone.yaml", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job: 3\n", "config.yaml:1:1: unknown key `job` \\(did you mean `jobs`\\?\\)"),
        ("jobs: 0\n", "config.yaml:1:7: expected a number of cells, or `auto`"),
        ("engine: dokcer\n", "config.yaml:1:9: no engine `dokcer` \\(did you mean `docker`\\?\\)"),
        ("registry: https://x\n", "config.yaml:1:11: expected a registry without scheme"),
        ("mirrors: {debian: 'x y'}\n", "config.yaml:1:19: expected a URL"),
        ("archives: x\n", "config.yaml:1:11: expected a list"),
    ],
)
def test_a_slip_is_told_where_it_is(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_settings(write(tmp_path, text), {})


def test_slips_in_the_environment_and_in_the_file_come_together(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_settings(
            write(tmp_path, "jobs: x\n"),
            {"DISTROMATRIX_JOBS": "many", "DISTROMATRIX_ENGINE": "dcker"},
        )
    text = str(caught.value)
    assert "$DISTROMATRIX_JOBS: expected a number of cells" in text
    assert "$DISTROMATRIX_ENGINE: no engine `dcker` (did you mean `docker`?)" in text
    assert "config.yaml:1:7" in text


def test_the_registry_takes_the_place_of_docker_hub_only() -> None:
    settings = Settings(registry="mirror.example:5000/hub")
    assert (
        settings.reference("docker.io/library/debian:12")
        == "mirror.example:5000/hub/library/debian:12"
    )
    assert settings.reference("quay.io/fedora:43") == "quay.io/fedora:43"
    assert Settings().reference("docker.io/library/debian:12") == "docker.io/library/debian:12"


def test_a_mirror_is_found_by_distro_and_else_by_distribution() -> None:
    distros = {distro.name: distro for distro in load_distros(None)}
    settings = Settings(mirrors={"debian": "http://d", "debian-sid": "http://s"})
    assert settings.mirror(distros["debian-12"]) == "http://d"
    assert settings.mirror(distros["debian-sid"]) == "http://s"
    assert settings.mirror(distros["ubuntu-24.04"]) == ""


def test_a_mirror_of_a_distribution_serves_its_releases_whatever_their_names() -> None:
    distros = {distro.name: distro for distro in load_distros(None)}
    settings = Settings(mirrors={"opensuse": "http://o", "opensuse-leap-15.6": "http://15"})
    assert settings.mirror(distros["opensuse-leap-16.0"]) == "http://o"
    assert settings.mirror(distros["opensuse-tumbleweed"]) == "http://o"
    assert settings.mirror(distros["opensuse-leap-15.6"]) == "http://15"
    assert Settings(mirrors={"void": "http://v"}).mirror(distros["void-musl"]) == "http://v"


ARCHIVES = Settings(
    mirrors={"debian": "http://d", "alpine-3.20": "http://a"},
    archive_mirrors={"debian": "http://old", "alpine": "http://olda", "debian-12": "http://o12"},
    today=date(2026, 9, 1),
)


@pytest.mark.parametrize(
    ("name", "today", "mirror", "archived"),
    [
        ("debian-11", date(2026, 9, 1), "http://old", True),  # its last day was 2026-08-31
        ("debian-11", date(2026, 8, 31), "http://d", False),
        ("debian-11", None, "http://d", False),
        ("debian-12", date(2026, 9, 1), "http://d", False),
        ("debian-12", date(2030, 1, 1), "http://o12", True),
        ("debian-sid", date(2030, 1, 1), "http://d", False),  # without an end
        ("alpine-3.20", date(2026, 9, 1), "http://a", False),  # set for that very release
        ("ubuntu-24.04", date(2040, 1, 1), "", False),
    ],
)
def test_past_its_end_of_life_a_release_comes_from_the_archive(
    name: str, today: date | None, mirror: str, archived: bool
) -> None:
    distro = next(d for d in load_distros(None) if d.name == name)
    settings = replace(ARCHIVES, today=today)
    assert (settings.mirror(distro), settings.archived(distro)) == (mirror, archived)


def test_what_to_set_is_told_of_a_release_past_its_end_without_an_archive() -> None:
    distros = {distro.name: distro for distro in load_distros(None)}
    nothing = Settings(today=date(2026, 9, 1))
    assert nothing.archive_advice(distros["debian-11"]) == (
        "debian-11 is past its end of life (2026-08-31): set `archive_mirrors: {debian: URL}` "
        "in config.yaml to where its distribution keeps old releases"
    )
    assert nothing.archive_advice(distros["debian-12"]) == ""
    assert ARCHIVES.archive_advice(distros["debian-11"]) == ""


def test_an_unknown_acceleration_is_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no accel `hvf` .expected `auto`"):
        load_settings(write(tmp_path, "accel: hvf\n"), {})
    with pytest.raises(InputError, match=r"DISTROMATRIX_ACCEL: no accel"):
        load_settings(write(tmp_path, ""), {"DISTROMATRIX_ACCEL": "hvf"})
