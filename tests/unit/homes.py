"""A user's folders of a test's own. What the images of its distros are made of lies in them, as it
does for whoever has run before: to read it, a run starts some sixty programs."""

from __future__ import annotations

from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from distromatrix.images.facts import facts_of
from fake_engine.engine import FakeEngine

DISTROS = ("one", "one-1.0", "two", "three", "apart")
FACTS = "distromatrix/facts"  # below $XDG_CACHE_HOME


def set_homes(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let $XDG_CACHE_HOME and $XDG_CONFIG_HOME be in that folder."""
    for name in ("CACHE", "CONFIG"):
        patch.setenv(f"XDG_{name}_HOME", str(folder / name))
    lend_facts(folder / "CACHE")


def lend_facts(home: Path) -> None:
    """Put them into what is to be $XDG_CACHE_HOME."""
    (home / FACTS).mkdir(parents=True)
    for name, text in _facts().items():
        (home / FACTS / name).write_text(text)


@cache
def _facts() -> dict[str, str]:
    """Of this host, on which the fake engine runs, by the name of the file of an image."""
    with TemporaryDirectory() as folder:
        engine = FakeEngine(Path(folder, "fake"))
        pulled = [
            engine.images.pull(f"docker.io/library/{name}:1", name, lambda _: None).id
            for name in DISTROS
        ]
        kept = Path(folder, "facts")
        facts_of(pulled[0], "", kept, {}, lambda spec: closing(engine.open(spec)))
        (file,) = kept.iterdir()
        text = file.read_text()
        return {
            file.name.replace(pulled[0][7:], one[7:]): text.replace(pulled[0], one)
            for one in pulled
        }
