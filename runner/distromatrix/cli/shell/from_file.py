"""`distromatrix shell --from FILE`: what `run --export` wrote, perhaps a stranger's, in a machine
of ours, which gets no more than any cell's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from shutil import disk_usage
from typing import TYPE_CHECKING

from distromatrix.cli.images.carry import say
from distromatrix.cli.options import said, settings_here
from distromatrix.cli.output import echo
from distromatrix.collect.text import one_line
from distromatrix.errors import ImageError, InfrastructureError, InputError
from distromatrix.files.user_folders import cache_folder
from distromatrix.files.whole import disk_fault
from distromatrix.model import Archive, Distro, Pull
from distromatrix.plan.needs import GUESTS, guest_refusal, of_image
from distromatrix.project.project import all_distros, find_distro, host_facts
from distromatrix.project.session import open_images, opened_engines

if TYPE_CHECKING:
    from distromatrix.engines import Engines
    from distromatrix.engines.contract import Engine, Machine
    from distromatrix.engines.image_store import Image
    from distromatrix.images import Images
    from distromatrix.images.store.machine_file import About, MachineFile
    from distromatrix.record.folder import RunFolder

_TAG = "distromatrix/prepared:from-"  # of the image that a guest is made of, with its folder's id


def open_file(path: Path, directory: Path) -> int:
    """Open a shell in the machine of that file; the project's own distros count, too. Raises
    InputError, InfrastructureError."""
    from distromatrix.images.store.machine_file import opened_machine
    from distromatrix.record.folder import SHELLS, RunFolder, remove_dead, remove_folder

    settings = settings_here()
    with ExitStack() as stack:
        file = stack.enter_context(opened_machine(path))
        about = file.about
        _tell(path, about)
        distro = find_distro(about.distro, all_distros(directory))
        engines = stack.enter_context(opened_engines(settings))
        where = _engine(about, distro)
        arch = engines.containers.facts().arch
        if about.arch != arch:
            raise InputError(f"{path}: its machine is for {about.arch}; this host is {arch}")
        for dead in remove_dead(cache_folder(), SHELLS):
            with suppress(InfrastructureError):
                engines.containers.images.remove(_TAG + dead.name)
        folder = stack.enter_context(RunFolder.create(cache_folder(), kind=SHELLS))
        stack.callback(remove_folder, folder.path)
        if about.unpacked > (free := disk_usage(folder.path).free // 2):
            raise InputError(
                f"{path}: has {_mb(about.unpacked)}, more than {_mb(free)}: half of what "
                f"is free in {folder.path.parent}"
            )
        images = open_images(engines.containers, settings, {}, say)
        base = base_of(about, distro, engines.containers, images)
        return _enter(file, distro, base, engines, where, folder)


def _tell(path: Path, about: About) -> None:
    """What the file says, before anything of it is opened."""
    day = time.strftime("%Y-%m-%d", time.localtime(about.written))
    runs = about.engine or "a container"
    echo(f"{path}: {about.cell}, in {runs} for {about.arch}, written on {day}", err=True)
    echo(f"image: {about.distro} from {about.source}, {about.image}", err=True)
    echo(f"changes: {_mb(about.unpacked)}; whoever wrote the file made them", err=True)
    if about.secrets:
        echo(f"set there, and not here: {', '.join(about.secrets)}", err=True)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _engine(about: About, distro: Distro) -> str | None:
    """The engine of guests that it is opened in, None: that of containers. Raises InputError."""
    asked = said("engine")
    wanted = asked or about.engine
    if wanted not in GUESTS:
        return None
    why = guest_refusal(wanted, (), host_facts().guests, distro.guest)
    if not why and not of_image(wanted, distro.guest):
        why = f"{distro.name} names a box for its guests"
    if not why and about.engine != wanted:
        why = f"it was {about.engine or 'a container'}, and has not what a guest of {wanted} boots"
    if why:
        raise InputError(f"shell: cannot use {wanted}: {why}; --engine docker opens a container")
    return wanted


def base_of(about: About, distro: Distro, engine: Engine, images: Images) -> Image:
    """The image that a machine began from: one of ours that is here by its id, or what a digest
    or a sha256 names among the sources that the distro has here. Raises ImageError."""
    from distromatrix.images.base.sources import BASE_REPOSITORY

    found = engine.images.find(about.image)
    if found and found.id == about.image and found.tag.startswith(f"{BASE_REPOSITORY}:"):
        return found
    failures = []
    for one in _fixed(about, distro):
        try:
            base = images.base(replace(one, locked=True)).image
        except ImageError as error:
            failures.append(str(error))
            continue
        if base.id == about.image or about.archive or set(base.digests) & set(about.digests):
            return base
    reasons = "".join(f"\n  {text}" for text in failures)
    raise ImageError(
        f"its image is not here: {about.distro} from {about.source}, {about.image}; to copy it: "
        f"`distromatrix images export FILE {about.distro}` where it ran, and `distromatrix images "
        f"import FILE` here{reasons}"
    )


def _fixed(about: About, distro: Distro) -> Iterator[Distro]:
    """The distro with nothing but that very image as its source."""
    from distromatrix.load.lock import with_digest

    for source in distro.image:
        if isinstance(source, Pull):
            for digest in about.digests:
                yield replace(distro, image=(replace(source, ref=with_digest(source.ref, digest)),))
        elif isinstance(source, Archive) and source.sha256.lower() == about.archive:
            yield replace(distro, image=(source,))


def _enter(
    file: MachineFile,
    distro: Distro,
    base: Image,
    engines: Engines,
    where: str | None,
    folder: RunFolder,
) -> int:
    from distromatrix.engines.contract import LABEL_KIND, MachineSpec
    from distromatrix.execute.sweep import labels_of

    about, containers = file.about, engines.containers
    guests = engines.of(where) if where else None
    spec = MachineSpec(
        name=f"distromatrix-from-{token_hex(6)}",
        image=base.id,
        labels=labels_of(folder),
        hostname=distro.name.replace(".", "-"),
        user="root" if guests else about.user,
        cpus=about.cpus,
        memory=min(about.memory, host_facts().memory // 2),  # whatever a stranger says
        network=about.network and not guests,
    )
    tag, engine = "", containers
    opened: list[Machine] = []
    try:
        machine = containers.open(spec)
        opened.append(machine)
        try:
            changes = file.changes(folder.path)
        except OSError as error:
            raise disk_fault(error, folder.path) or error from error
        try:
            machine.take(changes)
        finally:
            changes.close()
        if guests:
            engine, tag = guests, _TAG + folder.id
            image = containers.images.commit(machine.address.id, tag, {LABEL_KIND: "prepared"})
            machine.close()
            spec = replace(
                spec,
                image=image.id,
                guest=distro.guest,
                user=about.user,
                network=about.network,
                has_product=True,
                on_step=lambda text: echo(f"{distro.name}: {one_line(text)}", err=True),
            )
            machine = guests.open(spec)
            opened.append(machine)
        return engine.enter(machine.keep(), about.env)
    finally:
        for machine in opened:
            machine.close()
        for left in engine.leftovers():
            if left.run == folder.id:
                engine.remove(left)
        if tag:
            containers.images.remove(tag)
