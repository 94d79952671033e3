"""What is still to be handed out to pytest-xdist's workers, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A test is long, and so has its own place in the order, when it takes more than this share of
# what a worker will have to do, within these bounds (seconds).
LONG_SHARE = 1 / 16
LONG_LEAST, LONG_MOST = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Work:
    """All that was collected: the seconds that each item is expected to take, by its index;
    and which of them are cells."""

    seconds: Sequence[float]
    cells: frozenset[int] = frozenset()

    def of(self, items: Iterable[int]) -> float:
        """The seconds that these items are expected to take together."""
        return sum(self.seconds[item] for item in items)


class Pool:
    """Long items, the longest first; and short ones in the order of their collection, which
    pytest has chosen so that fixtures are made once. `long` and `short` are theirs to read."""

    def __init__(self, work: Work, workers: int) -> None:
        self._work = work
        self._border = work.of(range(len(work.seconds))) / max(1, workers) * LONG_SHARE
        self._border = min(max(self._border, LONG_LEAST), LONG_MOST)
        self.long: list[int] = []
        self.short: list[int] = []
        self.put(range(len(work.seconds)))

    def __len__(self) -> int:
        return len(self.long) + len(self.short)

    @property
    def seconds(self) -> float:
        """What all that is here is expected to take."""
        return self._work.of(self.long) + self._work.of(self.short)

    def is_long(self, item: int) -> bool:
        """Whether it comes by its length, and not by its place in the collection."""
        return item in self._work.cells or self._work.seconds[item] > self._border

    def put(self, items: Iterable[int]) -> None:
        """Items that are to be handed out (again)."""
        for item in items:
            (self.long if self.is_long(item) else self.short).append(item)
        self.long.sort(key=lambda item: (-self._work.seconds[item], item))
        self.short.sort()

    def take_long(self, *, cells: bool) -> list[int]:
        """The longest; `cells`: it may be a cell. Empty where there is none."""
        for at, item in enumerate(self.long):
            if cells or item not in self._work.cells:
                return [self.long.pop(at)]
        return []

    def take_short(self, seconds: float, most: int) -> list[int]:
        """The next short ones, as many as take that long: at least one, where there is one,
        and no more than `most`."""
        count, total = 0, 0.0
        for item in self.short[:most]:
            if count and total >= seconds:
                break
            count += 1
            total += self._work.seconds[item]
        taken = self.short[:count]
        del self.short[:count]
        return taken
