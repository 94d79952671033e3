"""An engine that does not answer is said to, in one line, with what to do."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from docker.context.config import get_context_id

from distromatrix.engines import open_engine
from distromatrix.engines.docker.connection.api import Api
from distromatrix.errors import EngineUnavailableError, InputError
from fake_engine.engine import FakeEngine
from fake_engine.state import Faults


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)


def _failure() -> str:
    engine = open_engine("docker")
    with pytest.raises(EngineUnavailableError) as caught:
        engine.facts()
    engine.close()
    text = str(caught.value)
    assert "\n" not in text
    assert "distromatrix doctor" in text
    return text


def test_a_missing_socket_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    assert f"there is no engine socket unix://{tmp_path}/no.sock" in _failure()


def test_a_socket_nobody_listens_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/dead.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/dead.sock")
    assert "no engine answers" in _failure()


def test_a_host_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
    assert "no engine answers" in _failure()


def test_no_rights_say_which_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Api, timeout: float) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Api, "_client", refused)
    assert "usermod -aG docker" in _failure()


def test_an_engine_that_is_silent_does_not_hang_us(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent, pytest.MonkeyPatch.context() as patch:
        silent.bind(f"{tmp_path}/s.sock")
        silent.listen()
        patch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s.sock")
        with (
            pytest.raises(EngineUnavailableError, match="did not answer within 1 s"),
            Api().calling("try", 1) as client,
        ):
            client.info()


def test_a_docker_context_is_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "mine"}))

    name = get_context_id("mine")
    meta = tmp_path / "contexts/meta" / name
    meta.mkdir(parents=True)
    endpoint = {"docker": {"Host": f"unix://{tmp_path}/mine.sock"}}
    meta.joinpath("meta.json").write_text(
        json.dumps({"Name": "mine", "Metadata": {}, "Endpoints": endpoint})
    )
    assert "mine.sock" in _failure()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/other.sock")
    assert "other.sock" in _failure()


@pytest.mark.parametrize("url", ["tcp://me:s3kr-t@nosuch.invalid:1", "ssh://me:s3kr-t@127.0.0.1:1"])
def test_a_password_in_the_engines_address_is_not_told(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", url)
    with pytest.raises(EngineUnavailableError, match=r"//\*\*\*@(nosuch|127)") as caught:
        open_engine("docker").facts()
    assert "s3kr" not in str(caught.value)


def test_an_unknown_context_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONTEXT", "nosuch")
    engine = open_engine("docker")
    with pytest.raises(EngineUnavailableError, match="nosuch"):
        engine.facts()


def test_an_unknown_engine_is_wrong_input() -> None:
    with pytest.raises(InputError, match="dokcer"):
        open_engine("dokcer")


def test_the_fake_engine_is_there_for_our_own_tests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fake_engine.engine", None)
    with pytest.raises(InputError, match="own tests, which are not here: unset it"):
        open_engine("fake")


def test_the_fake_engine_takes_its_folder_and_faults_from_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DISTROMATRIX_FAKE", str(tmp_path))
    engine = open_engine("fake")
    assert engine.facts().data_root == str(tmp_path)
    (tmp_path / "faults.json").write_text('{"unavailable": true}')
    with pytest.raises(EngineUnavailableError):
        engine.facts()


def test_faults_given_in_code_count(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError):
        FakeEngine(tmp_path, faults=Faults(unavailable=True)).facts()
