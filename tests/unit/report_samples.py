"""A small plan and results of it, for the tests of the reports."""

from __future__ import annotations

from pathlib import Path

from distromatrix.model import (
    Case,
    CaseCounts,
    Cell,
    CellResult,
    Distro,
    Phase,
    Plan,
    Product,
    Verdict,
)

FACTS = {
    "debian-11": ("debian", "glibc"),
    "debian-12": ("debian", "glibc"),
    "rocky-9": ("rhel", "glibc"),
    "fedora-41": ("rhel", "glibc"),
    "void-musl": ("void", "musl"),
    "alpine-3.20": ("alpine", "musl"),
}


def distro(name: str) -> Distro:
    family, libc = FACTS[name]
    return Distro(
        name=name,
        title=name,
        family=family,  # type: ignore[arg-type]
        package_manager="apt",
        libc=libc,  # type: ignore[arg-type]
        image=(),
    )


def make_plan(*ids: str, root: Path = Path("/p")) -> Plan:
    """A plan of the cells `ids`; a distro is known when FACTS knows it."""
    cells = []
    for cell_id in ids:
        name, suite, *variant = cell_id.split("/")
        cells.append(
            Cell(
                id=cell_id,
                distro=name,
                suite=suite,
                variant=variant[0] if variant else None,
                engine="docker",
                reason="a container meets its needs",
                run="true",
            )
        )
    names = dict.fromkeys(cell.distro for cell in cells)
    return Plan(
        matrix=root / "matrix" / "default.yaml",
        root=root,
        product=Product(path=root),
        cells=tuple(cells),
        distros=tuple(distro(name) for name in names if name in FACTS),
    )


def result(cell_id: str, verdict: Verdict = Verdict.PASSED, **fields: object) -> CellResult:
    return CellResult(id=cell_id, verdict=verdict, engine="docker", **fields)  # type: ignore[arg-type]


def failed(cell_id: str, *cases: str, **fields: object) -> CellResult:
    """A failed cell with failing cases of those names."""
    fields.setdefault("reason", f"{len(cases)} of 9 cases failed" if cases else "exit status 1")
    failing = tuple(Case(name=name, status="failed", message=f"why {name}") for name in cases)
    counts = CaseCounts(passed=9 - len(cases), failed=len(cases)) if cases else None
    fields = {"phase": Phase.RUN, "failing": failing, "cases": counts, **fields}
    return result(cell_id, Verdict.FAILED, **fields)
