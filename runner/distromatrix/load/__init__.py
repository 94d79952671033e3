"""From files to a checked `Matrix`, the distros there are, and the user's settings.

    file ─ read ─> Document (text with positions) ─ decode ─> Shape (what was written)
                                                     └─ catalogue, matrix, settings ─> model

Every fault of the input is an `InputError` that carries all faults found, each with its
`file:line:column`.
"""

from distromatrix.load.catalogue import load_distros
from distromatrix.load.matrix import find_matrix, load_matrix, project_root
from distromatrix.load.settings import Settings, load_settings

__all__ = [
    "Settings",
    "find_matrix",
    "load_distros",
    "load_matrix",
    "load_settings",
    "project_root",
]
