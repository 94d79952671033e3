"""The images that cells run on: a distro's base image, and the prepared layer on top of it."""

from __future__ import annotations

from distromatrix.images.bases import Base
from distromatrix.images.hostnet import Handed, handed_over
from distromatrix.images.images import Images
from distromatrix.images.layers import Prepared, ProductFiles, layer_inputs
from distromatrix.images.shelf import ImageRow

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
