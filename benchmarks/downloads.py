"""A layer with one package more: what is downloaded and how long it takes, with what an earlier
layer has downloaded and without, in turn.

    python benchmarks/downloads.py --distro debian-12 --times 5

Bytes are those that a proxy of this script's own hands to the container. What is made is removed.
"""

from __future__ import annotations

import argparse
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from distromatrix.engines import open_engine
from distromatrix.files.user_folders import cache_folder
from distromatrix.images import Handed, Images
from distromatrix.load.catalogue import load_distros
from distromatrix.load.settings import load_settings
from distromatrix.model import Cell, Distro, HostFacts, Matrix, Product, Selection, Suite
from distromatrix.plan.make import make_plan

PACKAGES = ("python", "pytest", "compiler", "git")
MORE = ("less", "tree", "jq", "file", "bc", "rsync", "zip", "time", "sl")


@dataclass
class Proxy:
    """Forwards HTTP, and counts."""

    url: str
    files: list[tuple[str, int]] = field(default_factory=list)  # name, bytes

    def taken(self) -> tuple[int, int]:
        """Archives and bytes since it was last asked."""
        files, self.files[:] = tuple(self.files), []
        return sum(name.endswith(".deb") for name, _ in files), sum(size for _, size in files)


@contextmanager
def proxy(address: str) -> Iterator[Proxy]:
    """One that listens at an address of this host's."""
    counted = Proxy("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            passed = ("If-Modified-Since", "Range", "If-Range", "Cache-Control")
            headers = {name: self.headers[name] for name in passed if self.headers[name]}
            try:
                answer = urllib.request.urlopen(urllib.request.Request(self.path, headers=headers))
            except urllib.error.HTTPError as error:
                answer = error
            content = answer.read()
            counted.files.append((self.path.rpartition("/")[2], len(content)))
            self.send_response(answer.status)
            for name in ("Last-Modified", "Content-Range", "Content-Type"):
                if answer.headers[name]:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    counted.url = f"http://{address}:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield counted
    finally:
        server.shutdown()
        server.server_close()


def cell(distro: Distro, packages: tuple[str, ...]) -> Cell:
    here = Path("/nowhere")
    suite = Suite(name="unit", run="true", packages=packages)
    matrix = Matrix(
        file=here, root=here, product=Product(path=here), distros=(distro,), suites=(suite,)
    )
    facts = HostFacts(arch="x86_64", cpus=1, memory=2**33, today=date.today())
    return make_plan(matrix, facts, Selection()).cells[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distro", default="debian-12")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--address", default="172.17.0.1", help="of this host, for containers")
    asked = parser.parse_args()
    distro = next(d for d in load_distros(None) if d.name == asked.distro)
    engine, settings = open_engine("docker"), load_settings()
    Images(engine, settings, cache=cache_folder(), emit=lambda _: None).base(distro)
    rows: dict[bool, list[tuple[float, int, int]]] = {False: [], True: []}
    with TemporaryDirectory() as cache, proxy(asked.address) as counted:
        handed = Handed(env={"http_proxy": counted.url})

        def prepare(packages: tuple[str, ...], *, keep: bool) -> tuple[float, int, int]:
            images = Images(engine, settings, cache=Path(cache), emit=lambda _: None, keep=keep)
            counted.taken()
            began = time.monotonic()
            made = images.prepared(distro, cell(distro, packages), lambda _: (), handed)
            row = (time.monotonic() - began, *counted.taken())
            engine.images.remove(made.image.tag)
            return row

        print("first: {:.1f} s, {} archives, {:,} bytes".format(*prepare(PACKAGES, keep=True)))
        for more in MORE[: asked.times]:
            for keep in (False, True):
                rows[keep].append(prepare((*PACKAGES, more), keep=keep))
                row = "{:.1f} s, {} archives, {:,} bytes".format(*rows[keep][-1])
                print(f"{more}, {'with' if keep else 'without'}: {row}")
    ratios = [kept[0] / plain[0] for plain, kept in zip(rows[False], rows[True], strict=True)]
    for keep, found in rows.items():
        seconds, archives, size = (median(column) for column in zip(*found, strict=True))
        print(f"{'with' if keep else 'without'}: {seconds:.1f} s, {archives} archives, {size:,}")
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
