"""Which of CI's runners a cell wants: by its engine and the architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from distromatrix.model import Cell

# GitHub's own, which have Docker and KVM
# (docs.github.com/en/actions/reference/runners/github-hosted-runners).
HOSTED = {"x86_64": ("ubuntu-latest",), "aarch64": ("ubuntu-24.04-arm",)}
ELSE = ("self-hosted",)  # of an architecture that none of those has


def runner_of(engine: str, arch: str, given: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The labels of the runner for cells of that engine; `given`: the matrix's `runners:`, of
    which the most specific counts."""
    for key in (f"{engine}/{arch}", engine, arch):
        if key in given:
            return given[key]
    return HOSTED.get(arch, ELSE)


def runners_of(
    cells: Iterable[Cell], given: Mapping[str, tuple[str, ...]], arch: str
) -> dict[str, tuple[str, ...]]:
    """The labels for each engine that the cells use."""
    engines = dict.fromkeys(cell.engine for cell in cells if cell.engine is not None)
    return {engine: runner_of(engine, arch, given) for engine in engines}
