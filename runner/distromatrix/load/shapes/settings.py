"""What the user's config.yaml looks like, as a type."""

from __future__ import annotations

from distromatrix.load.shapes.base import Shape
from distromatrix.load.shapes.fields import Flag, Name, Size, Text
from distromatrix.load.shapes.host_fields import AccelName, EngineName, Jobs, MirrorUrl, Registry


class SettingsShape(Shape):
    """The user's own settings."""

    registry: Registry | None = None
    """Takes the place of `docker.io` in every reference pulled: `mirror.example:5000/hub`."""
    mirrors: dict[Name, MirrorUrl] = {}
    """Package mirrors, for bootstraps and for what is installed in other images, by distro
    (`debian-12`) or distribution (`debian`)."""
    archive_mirrors: dict[Name, MirrorUrl] = {}
    """The same for releases past their end of life: where distributions keep old ones."""
    engine: EngineName | None = None
    """The engine of containers (default: docker)."""
    jobs: Jobs | None = None
    """Cells at a time (default: auto, by the processors and the memory)."""
    archives: tuple[Text, ...] = ()
    """Folders in which rootfs archives are looked for; relative ones from this file's folder."""
    cache_size: Size | None = None
    """What the `caches` of all your projects may hold on this host; above it, those that were not
    used for longest go (default 20G)."""
    offline: Flag = False
    """Images come from the engine's store alone; nothing asks the network."""
    keep_products: Size | None = None
    """Room on engines for what is kept of products between runs, so that only what has changed is
    staged again (default 20G). What was used longest ago goes first."""
    cluster: Text | None = None
    """The cluster that runs cells in place of this host: `tls://HOST:PORT`, `tcp://HOST:PORT`, or
    the scheduler file that `dask scheduler` wrote."""
    insecure_cluster: Flag = False
    """The product and secrets may go there unencrypted (`tcp://`)."""
    accel: AccelName | None = None
    """How guests run (default: auto): `auto` (KVM where it is proved to work, else software
    emulation), `kvm` (nothing else will do), `tcg` (software emulation)."""
