"""Files out of a container, from an engine that is played here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from distromatrix.engines.docker.connection.api import Api
from distromatrix.engines.docker.container import Container
from distromatrix.engines.docker.staging.files import get_files
from distromatrix.errors import InfrastructureError


@dataclass
class Engine:
    """Answers with these streams, one after the other, the last again and again."""

    answers: list[list[bytes]]
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def calling(self, doing: str, timeout: float) -> Iterator[Engine]:
        yield self

    def get_archive(self, container: str, path: str, **_: object) -> tuple[Iterator[bytes], None]:
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(path)
        return iter(answer), None


def get(engine: Engine) -> list[bytes]:
    return list(get_files(Container(cast("Api", engine), "id", "box"), "/d"))


def test_an_answer_without_a_byte_is_asked_for_again() -> None:
    engine = Engine([[], [b""], [b"a", b"", b"b"]])
    assert get(engine) == [b"a", b"", b"b"]
    assert engine.asked == ["/d"] * 3


def test_an_engine_that_gives_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distromatrix.engines.docker.staging.files.sleep", lambda _: None)
    with pytest.raises(InfrastructureError, match=r"cannot get files from box: .* nothing of /d"):
        get(Engine([[]]))
