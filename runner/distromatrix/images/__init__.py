"""The images that cells run on: a distro's base image, and the prepared layer on top of it."""

from __future__ import annotations

from distromatrix.images.base.bases import Base
from distromatrix.images.images import Images
from distromatrix.images.layer.hostnet import Handed, handed_over, logins_here
from distromatrix.images.layer.layers import Prepared, layer_inputs
from distromatrix.images.layer.recipe import ProductFiles

__all__ = [
    "Base",
    "Handed",
    "Images",
    "Prepared",
    "ProductFiles",
    "handed_over",
    "layer_inputs",
    "logins_here",
]
