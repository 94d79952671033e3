"""What is spoken of where something fails: by its output, by the suite's packages and scripts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from string import ascii_letters, digits

from distromatrix.model import Cell, CellResult, Evidence, Plan
from distromatrix.reports.grouping import Group

_TEXT = 20_000  # characters of output that are looked through
_FURTHER = 5  # what another kind of witness adds
_OPENED = 40  # what it is worth more that the failing command uses something
_SUITE = ("packages", "script")  # the kinds of witnesses that are no output
# A word, but no part of a path, other than the name of a program in it.
_WORD = re.compile(r"(?:(?<![\w/.+-])|(?<=bin/))[A-Za-z_][\w.+-]*")
_SPEAKER = re.compile(r"(?:^|[\s/'\"`])([A-Za-z_][\w.+-]*): ")
# Programs that are English words: they count where they speak (`date: …`), and not in a sentence.
_ENGLISH = frozenset(
    """at cat comm cut date diff env expr file find fold go head install join last less ln local
    locale look make more mount node paste patch php read sed set sh sort source split stat sum
    tail tee test time timeout top touch tr trap truncate type which who yes""".split()  # noqa: SIM905
)
_OF_LANGUAGE = re.compile(r"^(?:python\d*|py\d+|ruby|perl|lua|node|php)-(?=...)")
_PARTS = ("-dev", "-devel", "-lib", "-libs", "-bin", "-common", "-data")
_VERSIONS = ascii_letters + digits + "_."  # what follows a version's first digit
_DIGIT = re.compile(r"[0-9]")
_SHORTEST = 3  # characters of a stem


@lru_cache(maxsize=65_536)
def stem(name: str) -> str:
    """What a package is about, without the language that it is for, the part that it is and the
    version in its name: `libmagic` of `libmagic1t64`, `pytest` of `python3-pytest`; '' where too
    little is left."""
    name = _OF_LANGUAGE.sub("", name.lower())
    for part in _PARTS:
        name = name.removesuffix(part)
    for _ in range(2):  # `libxml2-16`
        begins = len(name.rstrip(_VERSIONS))
        if found := _DIGIT.search(name, begins):
            name = name[: found.start()].rstrip("-.")
    return name if len(name) >= _SHORTEST else ""


def _library(name: str) -> str:
    """What a library or a word is about: `sqlite`, of libsqlite3-0 as of sqlite3."""
    short = stem(name).removeprefix("lib")
    return short if len(short) >= _SHORTEST and short not in _ENGLISH else name


def _take(kinds: dict[str, float], more: Mapping[str, float]) -> None:
    for kind, worth in more.items():
        kinds[kind] = max(kinds.get(kind, 0), worth)


class Heard:
    """How much what failed speaks of programs and packages: by the words in it, by who speaks in
    it, and by which it has `opened`. Witnesses are of several kinds; what several of them name is
    likelier."""

    def __init__(self, opened: Collection[str] = ()) -> None:
        self._words: dict[str, dict[str, float]] = defaultdict(dict)
        self._texts: list[tuple[str, float, str]] = []
        self._opened = frozenset(opened)
        self._about: dict[str, dict[str, float]] = defaultdict(dict)  # what is said of libraries

    def name(self, name: str, kind: str, worth: float) -> None:
        """Hear a name of a program or package, and less of what is called almost so."""
        name = name.lower()
        for word, value in ((name, worth), (stem(name), worth / 2)):
            if word:
                _take(self._words[word], {kind: value})
        if self._opened and kind not in _SUITE:
            _take(self._about[_library(name.partition(".")[0])], {kind: worth})

    def text(self, text: str, kind: str, speaker: float, word: float) -> None:
        """Hear some output or script, with what a speaker and a word in it are worth."""
        text = text[-_TEXT:]
        self._texts.append((kind, speaker - 10, text))
        for name in set(_WORD.findall(text)):
            if name.lower() not in _ENGLISH:
                self.name(name, kind, word)
        for name in set(_SPEAKER.findall(text)):
            self.name(name, kind, speaker)

    def of(
        self,
        names: Iterable[str],
        words: Iterable[str] = (),
        phrases: Collection[str] = (),
        least: float = 0,
    ) -> tuple[float, tuple[Evidence, ...]]:
        """What it is worth that they point to what has those names, and speaks of itself in such
        words and phrases (`least`: if nothing is said of it), and which of them do."""
        names = tuple(names)
        kinds: dict[str, float] = {}
        for name in (*names, *words):
            _take(kinds, self._words.get(name.lower(), {}))
        for name in self._opened.intersection(names):
            _take(kinds, self._about.get(_library(name), {}))
        for kind, worth, text in self._texts if phrases else ():
            if any(phrase in text for phrase in phrases):
                _take(kinds, {kind: worth})
        opened = not self._opened.isdisjoint(names)
        said = max(kinds.values()) + _FURTHER * (len(kinds) - 1) if kinds else 0
        found: dict[Evidence, bool] = {
            "output": not kinds.keys() <= set(_SUITE),
            "opened": opened,
            "suite": not kinds.keys().isdisjoint(_SUITE),
        }
        return max(said, least) + _OPENED * opened, tuple(
            one for one, is_so in found.items() if is_so
        )


def hear(
    group: Group, plan: Plan, by_id: Mapping[str, CellResult], opened: Collection[str] = ()
) -> Heard:
    """What the failures of a group speak of, and have `opened`. What the suite asks for by a
    distribution's own name is worth more than what it asks for as any does (`compiler`)."""
    heard = Heard(opened)
    for failure in group.failures[:50]:
        for wording in failure.wordings:
            heard.text(wording.text, "message", 100, 60)
        if failure.case is not None:
            heard.text(failure.case.text, "text", 95, 55)
    cells: dict[str, Cell] = {cell.id: cell for cell in plan.cells}
    common = {
        distro.name: {native for those in distro.packages.values() for native in those}
        for distro in plan.distros
    }
    for one in group.cells:
        if (result := by_id.get(one)) is not None:
            heard.text("\n".join(result.tail), "tail", 50, 30)
        if (cell := cells.get(one)) is not None:
            heard.text("\n".join((*cell.setup, cell.run)), "script", 25, 25)
            for name in cell.packages:
                heard.name(name, "packages", 35 if name in common.get(cell.distro, ()) else 40)
    return heard
