"""The user's own settings: the file, and the environment over it."""

from pathlib import Path

import pytest

from distromatrix.errors import InputError
from distromatrix.load import Settings, load_distros, load_settings

FULL = """\
registry: mirror.example:5000/hub
mirrors: {debian: http://mirror.example/debian, debian-sid: http://sid.example/}
engine: docker
jobs: 3
archives: [roots, /srv/roots]
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
        engine="docker",
        jobs=3,
        archives=(tmp_path / "roots", Path("/srv/roots")),
    )


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    settings = load_settings(
        write(tmp_path, FULL),
        {
            "DISTROMATRIX_REGISTRY": "other.example",
            "DISTROMATRIX_JOBS": "auto",
            "DISTROMATRIX_ARCHIVES": f"{tmp_path}/a:{tmp_path}/b",
        },
    )
    assert settings.registry == "other.example"
    assert settings.jobs is None
    assert settings.archives == (tmp_path / "a", tmp_path / "b")


def test_an_empty_variable_sets_nothing(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, FULL), {"DISTROMATRIX_JOBS": ""}).jobs == 3


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
