"""What a client sends to the hosts that carry out its job: orders, and the product in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import file_digest, sha256
from pathlib import Path

from distromatrix.engines.guest.acceleration import TCG_SCALE
from distromatrix.execute.job import Job
from distromatrix.execute.product.python_says import USES_MARK
from distromatrix.files.user_folders import host_name
from distromatrix.images.layer.step import STEP_TIMEOUT
from distromatrix.model import Cell, CellResult, Plan
from distromatrix.plan.batches import Batch, batches, needs_of
from distromatrix.project.host import most_of
from distromatrix.project.hosted import FILES, Orders, Sent
from distromatrix.project.hosts import Hosts


def orders_of(
    job: Job,
    cells: Sequence[Cell],
    repeated: tuple[tuple[int, CellResult], ...],
    product: Mapping[str, Sent],
    *,
    offline: bool,
) -> Orders:
    """To run those cells, of which some were `repeated` already. Raises OSError."""
    names = {cell.distro for cell in cells}
    distros = tuple(distro for distro in job.plan.distros if distro.name in names)
    plan = replace(job.plan, cells=tuple(cells), distros=distros, excluded=(), warnings=())
    project = f"{host_name()}:{job.plan.root.resolve()}"
    return Orders(
        plan=plan,
        options=replace(
            job.options, jobs=1, fail_fast=False, done=(), seconds={}, repeated=repeated
        ),
        secrets=dict(job.opening.secrets),
        project=sha256(project.encode()).hexdigest()[:20],
        product=product,
        beside=_beside(plan),
        offline=offline,
    )


def batches_of(job: Job, cells: Sequence[Cell], hosts: Hosts) -> tuple[Batch, ...]:
    """Those cells in batches, as the hosts can take them now."""
    plan, most = job.plan, most_of(hosts.fit)
    cases = job.opening.snapshot().says & USES_MARK
    wanted = next(((name,) for name, why in plan.guests.items() if not why and name in most), ())

    def needs(cell: Cell) -> dict[str, int]:
        return needs_of(cell, most, wanted if cases and plan.distro(cell.distro).guest else ())

    return batches(
        cells,
        {cell.id: needs(cell) for cell in cells},
        job.options.seconds,
        hosts.places,
        ordered=plan.seed is not None,
    )


def silence_of(cells: Iterable[Cell]) -> float:
    """So many seconds a host that has these cells may say nothing of them: as long as the slowest
    step of an image, and of a cell under emulation, may take one after the other."""
    return 2 * STEP_TIMEOUT + TCG_SCALE * max(cell.timeout for cell in cells)


def _beside(plan: Plan) -> dict[str, bytes]:
    """The files that a plan names beside the product."""
    guests = (distro.guest for distro in plan.distros if distro.guest)
    paths = [str(guest.vagrantfile) for guest in guests if guest.vagrantfile]
    if plan.ca_bundle not in ("host", "none"):
        paths.append(plan.ca_bundle)
    return {path: Path(path).read_bytes() for path in paths}


def product_files(job: Job) -> dict[str, Sent]:
    """The product's files, written now if need be, and what they are known by. Raises InputError,
    InfrastructureError, OSError."""
    job.opening.snapshot().tar()
    found = {}
    for name in FILES:
        with (job.folder.path / name).open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
            found[name] = Sent(size=file.tell(), digest=digest)
    return found


def pieces_of(
    job: Job, product: Mapping[str, Sent], size: int
) -> Iterator[tuple[str, int, bytes, str]]:
    """Those files in pieces of `size` bytes: name, offset, content, and with the last one of each
    the digest. Raises OSError."""
    for name, sent in product.items():
        with (job.folder.path / name).open("rb") as file:
            for offset in range(0, max(sent.size, 1), size):
                last = offset + size >= sent.size
                yield name, offset, file.read(size), sent.digest if last else ""
