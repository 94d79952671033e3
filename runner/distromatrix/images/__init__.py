"""The images that cells run on: a distro's base image, and the prepared layer on top of it."""

from __future__ import annotations

from distromatrix.images.hostnet import Handed, handed_over
from distromatrix.images.images import (
    Base,
    ImageRow,
    Images,
    Prepared,
    ProductFiles,
    layer_inputs,
)

__all__ = [
    "Base",
    "Handed",
    "ImageRow",
    "Images",
    "Prepared",
    "ProductFiles",
    "handed_over",
    "layer_inputs",
]
