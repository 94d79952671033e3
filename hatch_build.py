"""The URLs of the project, which the release workflow knows: those of the repository it runs in."""

import os
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Urls(MetadataHookInterface):
    """`project.urls`, where $DISTROMATRIX_HOME says where the project is at home."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add them to what pyproject.toml says."""
        home = os.environ.get("DISTROMATRIX_HOME", "")
        pages = {
            "Homepage": "",
            "Documentation": "/tree/HEAD/docs",
            "Changelog": "/blob/HEAD/CHANGELOG.md",
            "Issues": "/issues",
        }
        metadata["urls"] = {name: home + page for name, page in pages.items()} if home else {}
