"""A failed cell's machine in a file of its own, for who wants to open it elsewhere
(`run --export failed`). The cell's verdict stands, whatever comes of that."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import disk_usage
from threading import Lock

from distromatrix.collect.errors import CollectError
from distromatrix.collect.text import one_line
from distromatrix.engines.changes import TooMuchError
from distromatrix.engines.contract import Machine
from distromatrix.errors import InfrastructureError
from distromatrix.execute.cell.attempt import Attempt
from distromatrix.execute.job import Job
from distromatrix.execute.queue.slots import Cancelled
from distromatrix.model import Archive, CellResult, Exported, Verdict
from distromatrix.plan.needs import GUESTS, of_image
from distromatrix.record.events import CellProgress
from distromatrix.record.verdicts import size_of

FILES = 10  # so many times what one may have, all files of a run may have


@dataclass(slots=True)
class Exporter:
    """Writes the files of one run's machines. `stopping`: whether the run is ending early."""

    job: Job
    stopping: Callable[[], bool]
    _lock: Lock = field(default_factory=Lock)
    _written: int = 0  # bytes of all files
    _images: dict[str, Mapping[str, bytes]] = field(default_factory=dict)

    def export(self, tried: Attempt, machine: Machine, result: CellResult) -> CellResult:
        """The result of a cell, with the file that its machine went into, where it failed and
        that is wanted, or a warning why there is none. Raises Cancelled."""
        wanted = self.job.options.export == "failed" and result.verdict is Verdict.FAILED
        if not wanted or result.exported:
            return result
        if not (why := self._refusal(tried)):
            try:
                return replace(result, exported=self._write(tried, machine))
            except (CollectError, InfrastructureError, OSError) as error:
                why = one_line(getattr(error, "strerror", None) or str(error))
        said = f"its machine was not exported: {why}"
        return replace(result, warnings=(*result.warnings, said))

    def _refusal(self, tried: Attempt) -> str:
        opening, cell = self.job.opening, tried.task.cell
        names = [*opening.secrets, *(["logins of mirrors"] if opening.handed.secrets else [])]
        if names and not self.job.options.with_secrets:
            return f"it was handed {', '.join(names)}, which --with-secrets would export, too"
        distro = self.job.plan.distro(cell.distro)
        if cell.engine in GUESTS and not of_image(cell.engine or "", distro.guest):
            return "its guest was made of a box, and no image that another host could get"
        return ""

    def _write(self, tried: Attempt, machine: Machine) -> Exported:
        from distromatrix.images.store.machine_file import NAME, About, write_machine

        job, opening, cell = self.job, self.job.opening, tried.task.cell
        used = tried.prepared.used
        if (base := job.engine.images.find(used.id)) is None:
            raise InfrastructureError("its base image is gone from the engine")
        sources = job.plan.distro(cell.distro).image
        archives = [one.sha256.lower() for one in sources if isinstance(one, Archive)]
        handed = {*opening.secrets, *opening.handed.env}
        env = opening.environment(cell, machine, tried.task.repeat, job.plan.seed)
        about = About(
            cell=cell.id,
            distro=cell.distro,
            engine=cell.engine if cell.engine in GUESTS and tried.task.in_guest else "",
            arch=base.arch or job.engine.facts().arch,
            image=base.id,
            source=used.source,
            digests=base.digests,
            archive=archives[0] if used.source == "archive" and archives else "",
            user=tried.prepared.user,
            cpus=cell.cpus,
            memory=cell.memory,
            network=cell.network,
            env={name: value for name, value in env.items() if name not in handed},
            secrets=tuple(opening.secrets),
        )
        if about.engine:  # where it takes half a minute
            said = "exporting its machine"
            job.emit(CellProgress(cell=cell.id, repeat=tried.task.repeat, text=said))
        target = Path(tried.folder, NAME)
        streams = (self._going_on(stream) for stream in machine.files())
        prints, (most, why) = self._prints(base.id), self._bound(tried.folder)
        try:
            size = write_machine(target, about, prints, streams, most)
        except TooMuchError:
            raise TooMuchError(f"it takes more than {size_of(most)} ({why})") from None
        with self._lock:
            self._written += size
        return Exported(file=str(target.relative_to(job.folder.path)), size=size)

    def _bound(self, folder: Path) -> tuple[int, str]:
        """The bytes that a file may have now, and why: cells that still run want the disk, too."""
        most = self.job.options.export_size
        return min(
            (most, "--export-size"),
            (max(0, FILES * most - self._written), f"all of a run: {FILES} times --export-size"),
            (disk_usage(folder).free // 2 >> 20 << 20, "half of what is free on this disk"),
        )

    def _prints(self, image: str) -> Mapping[str, bytes]:
        """What tells an image's files from others, looked at once in a run."""
        from distromatrix.images.store.trees import prints

        with self._lock:
            if image not in self._images:
                images, labels = self.job.engine.images, self.job.opening.labels
                self._images[image] = prints(self._going_on(images.export(image, labels)))
            return self._images[image]

    def _going_on(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for piece in stream:
                if self.stopping():
                    raise Cancelled
                yield piece
        finally:  # at once: a container does not end while an engine gives its files
            if isinstance(stream, Generator):
                stream.close()
