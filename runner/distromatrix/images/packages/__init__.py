"""Package managers: one small file each, and this registry that names them.

A manager is pure: it gives the script that installs packages, and reads what the tool
printed when the script failed. It runs nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from distromatrix.images.packages.apk import APK
from distromatrix.images.packages.apt import APT
from distromatrix.images.packages.base import (
    Addition,
    Download,
    Mirror,
    PackageFailure,
    PackageManager,
)
from distromatrix.images.packages.dnf import DNF
from distromatrix.images.packages.pacman import PACMAN
from distromatrix.images.packages.xbps import XBPS
from distromatrix.images.packages.zypper import ZYPPER

MANAGERS: Mapping[str, PackageManager] = {
    manager.name: manager for manager in (APT, DNF, ZYPPER, PACMAN, APK, XBPS)
}

__all__ = ["MANAGERS", "Addition", "Download", "Mirror", "PackageFailure", "PackageManager"]
