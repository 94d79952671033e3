"""What the tests of `init` share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli_world import Said
from homes import set_homes
from init_world import Init

from distromatrix.cli import main
from distromatrix.doctor import reach


@pytest.fixture
def servers() -> dict[str, str]:
    """What servers answer to `init`, by their names or by whole URLs; others do not."""
    return {"docker.io": "wants a login"}


@pytest.fixture
def command(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    servers: dict[str, str],
) -> Iterator[Init]:
    """The command line in an empty folder. Whom it may reach is not for the machine to say that
    tests run on."""

    def answer(url: str) -> str:
        return servers.get(url, servers.get(urlsplit(url).netloc, "off"))

    def call(*args: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([*args])
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    monkeypatch.chdir(tmp_path)
    set_homes(monkeypatch, tmp_path_factory.mktemp("homes"))
    monkeypatch.setenv("DISTROMATRIX_FAKE", str(tmp_path_factory.mktemp("fake")))
    monkeypatch.setattr(reach, "ask_url", answer)
    monkeypatch.setattr(reach, "TIMEOUT", 300.0)  # on a machine that stands still
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    yield call
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def init(command: Init) -> Init:
    """`distromatrix init` there."""
    return partial(command, "init")
