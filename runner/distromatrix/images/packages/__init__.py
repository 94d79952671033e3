"""Package managers: one small file each, and this registry that names them.

A manager is pure: it gives the script that installs packages, and reads what the tool
printed when the script failed. It runs nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from distromatrix.images.packages.apk import Apk
from distromatrix.images.packages.apt import Apt
from distromatrix.images.packages.base import PackageFailure, PackageManager

MANAGERS: Mapping[str, PackageManager] = {"apt": Apt(), "apk": Apk()}

__all__ = ["MANAGERS", "PackageFailure", "PackageManager"]
