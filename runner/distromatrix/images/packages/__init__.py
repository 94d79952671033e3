"""Package managers: one small file each, and this registry that names them.

A manager is pure: it gives the script that installs packages, and reads what the tool
printed when the script failed. It runs nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from distromatrix.images.packages.apk import Apk
from distromatrix.images.packages.apt import Apt
from distromatrix.images.packages.base import Mirror, PackageFailure, PackageManager
from distromatrix.images.packages.dnf import Dnf
from distromatrix.images.packages.pacman import Pacman
from distromatrix.images.packages.xbps import Xbps
from distromatrix.images.packages.zypper import Zypper

_ALL: tuple[PackageManager, ...] = (Apt(), Dnf(), Zypper(), Pacman(), Apk(), Xbps())
MANAGERS: Mapping[str, PackageManager] = {manager.name: manager for manager in _ALL}

__all__ = ["MANAGERS", "Mirror", "PackageFailure", "PackageManager"]
