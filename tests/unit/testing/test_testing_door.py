"""Workers knock, and are told where the bench is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.testing.bench.rendezvous import Rendezvous, knock


class Answers:
    def __init__(self) -> None:
        self.folders: list[Path] = []

    def __call__(self, folder: Path) -> str:
        self.folders.append(folder)
        return f"{folder}/bench"


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def door(answers: Answers) -> Iterator[Rendezvous]:
    door = Rendezvous(answers)
    yield door
    door.close()


def test_who_knocks_is_answered(door: Rendezvous) -> None:
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(knock(door.address))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [f"{door.folder}/bench"] * 8


def test_nothing_is_asked_before_somebody_knocks(door: Rendezvous, answers: Answers) -> None:
    assert not answers.folders
    knock(door.address)
    assert answers.folders == [door.folder]


def test_its_folder_is_the_owners_alone(door: Rendezvous) -> None:
    assert door.folder.stat().st_mode & 0o077 == 0


def test_a_closed_door_leaves_nothing_and_answers_nobody(door: Rendezvous) -> None:
    (door.folder / "bench").touch()
    door.close()
    assert not door.folder.exists()
    with pytest.raises(OSError):
        knock(door.address)
    door.close()


def test_no_answer_is_an_error_of_who_knocked(door: Rendezvous) -> None:
    silent = Rendezvous(lambda _: "")
    with pytest.raises(ConnectionError):
        knock(silent.address)
    silent.close()
