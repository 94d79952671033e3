"""libfuse, compiled in a container and mounted in a guest of the same distro (`setup: {in:
container}`), against the same build in a cell that is a container.

    python benchmarks/setup_in_container.py [--distros debian-12 debian-13] [--times 3]

The source is Debian's (`apt-get source fuse3`). Each time both cells run in turn, on images and
saved guests that are made beforehand. The bound is 1.3 times the container's build and 10 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from distromatrix.engines import open_engine
from distromatrix.engines.contract import Command
from distromatrix.load.settings import load_settings

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "integration"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from images_world import World, catalogued

FETCH = """sed 's/^deb /deb-src /' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
apt-get update -qq && mkdir /source && cd /source
apt-get source -qq --download-only fuse3
rm -f *.asc && mv fuse3_*.orig.tar.* it"""
MATRIX = """\
product: .
distros: [DISTROS]
defaults:
  packages: [meson, compiler, pkg-config]
  timeout: 20m
  network: false
suites:
  container:
    setup: BUILD
    run: test -x build/example/hello
  guest:
    needs: [kernel-modules]
    setup: {in: container, run: BUILD}
    run: |
      modprobe fuse
      build/example/hello /mnt
      test "$(cat /mnt/hello)" = 'Hello World!'
      umount /mnt
"""
BUILD = "meson setup -Dutils=false build && ninja -C build"
ALLOWED, BESIDE = 1.3, 10.0


def fetched(folder: Path) -> Path:
    """The product, unpacked."""
    world = World(open_engine("docker"), load_settings())
    with world.machine(world.images.base(catalogued("debian-12")).image.id) as machine:
        said: list[bytes] = []
        assert machine.run(Command(FETCH, output=said.append)).status == 0, b"".join(said)
        (folder / "it.tar").write_bytes(b"".join(machine.get("/source/it")))
    for archive in ("it.tar", "it"):
        subprocess.run(["tar", "-xf", archive], cwd=folder, check=True)
    (found,) = folder.glob("fuse-*")
    return found


def ran(product: Path, cell: str) -> float:
    """The seconds of a cell, which passes."""
    command = [sys.executable, "-m", "distromatrix", "run", "-C", str(product), "--json", cell]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (found,) = (c for c in json.loads(done.stdout)["cells"] if c["id"] == cell)
    assert found["verdict"] == "passed", f"{cell}: {found['reason']}\n{done.stderr}"
    return float(found["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--distros", nargs="+", default=["debian-12", "debian-13"])
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="distromatrix-bench-") as folder:
        product = fetched(Path(folder))
        (product / "matrix").mkdir()
        text = MATRIX.replace("DISTROS", ", ".join(asked.distros)).replace("BUILD", BUILD)
        (product / "matrix/default.yaml").write_text(text)
        for distro in asked.distros:
            first = ran(product, f"{distro}/guest")
            print(f"{distro}: the first time {first:.1f} s, with its guest's disk and boot")
            pairs = []
            for _ in range(asked.times):
                pairs.append((ran(product, f"{distro}/container"), ran(product, f"{distro}/guest")))
                container, guest = pairs[-1]
                print(f"  container {container:.1f} s, guest {guest:.1f} s", flush=True)
            container, guest = (statistics.median(column) for column in zip(*pairs, strict=True))
            bound = ALLOWED * container + BESIDE
            print(
                f"{distro}: container {container:.1f} s, guest {guest:.1f} s "
                f"({guest / container:.2f}); at most {bound:.1f} s"
            )


if __name__ == "__main__":
    main()
