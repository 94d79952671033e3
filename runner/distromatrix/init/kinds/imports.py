"""Tests in a format that a matrix reads at each run (`suites: {import: …}`)."""

from __future__ import annotations

from distromatrix.errors import InputError
from distromatrix.files.below import Folder
from distromatrix.init.facts import Draft, Finding, shared_family
from distromatrix.init.folder import ScannedFolder
from distromatrix.load.imports.formats import FORMATS


def look(folder: ScannedFolder) -> Finding | None:
    """The formats of which there are tests that become suites, or None."""
    folders: list[str] = []
    names: list[str] = []
    families: list[str] = []
    try:
        with Folder.at(folder.root) as product:
            for form in FORMATS.values():
                if not form.is_there(product, form.usual):
                    continue
                try:
                    found = form.read_suites(product, form.usual)
                except InputError as error:
                    for fault in error.faults:
                        folder.warn(f"{form.usual}/{form.holds}: not imported: {fault}")
                    continue
                if both := found.suites.keys() & names:
                    folder.warn(f"{form.usual}/{form.holds}: not imported: {min(both)} is there")
                elif found.suites:
                    folders.append(form.usual)
                    names += found.suites
                    families.append(found.family)
    except OSError:
        return None
    if not folders:
        return None
    about = ("What these tests say is read at each run: `init --from` writes it out instead.",)
    draft = Draft(
        name="import",
        about=about,
        imports=tuple(folders),
        stands_for=tuple(names),
        family=shared_family(families),
    )
    what = f"{len(names)} test{'s' * (len(names) > 1)}"
    return Finding(source=" and ".join(folders), what=what, drafts=(draft,))
