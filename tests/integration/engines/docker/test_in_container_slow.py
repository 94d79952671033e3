"""distromatrix in a container on the engine of its host: the Dockerfile, and what docs/engines.md
calls it with, word for word."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from breaking_world import Project

from distromatrix.engines import open_engine
from distromatrix.errors import InfrastructureError
from distromatrix.images import handed_over
from documents import blocks
from given import ROOT, alpine_or_pulled, image_of, unobtainable

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SOCKET = Path("/var/run/docker.sock")
ORDINARY = 1234
(PAGE,) = (b.text for b in blocks(ROOT / "docs/engines.md", "sh") if "docker build" in b.text)
BUILD, _, RUN = PAGE.partition("cd YOUR-PRODUCT\n")


def with_words(script: str, words: dict[str, str]) -> str:
    """What the page says, with these words in place of others that it has."""
    for old, new in words.items():
        assert old in script
        script = script.replace(old, new)
    return script


def base(folder: Path, label: str) -> str:
    """The tag of an image of Debian 13 that reaches the package indexes as this host does."""
    engine = open_engine("docker")
    try:
        debian = image_of(engine, "debian-13").tag
    except InfrastructureError as error:
        unobtainable(f"there is no Debian 13: {error}")
    finally:
        engine.close()
    handed = handed_over("host", "host", os.environ)
    env = " ".join(f'{name}="{value}"' for name, value in handed.env.items())
    (folder / "etc/distromatrix").mkdir(parents=True)
    (folder / "etc/distromatrix/ca.crt").write_bytes(handed.ca or b"")
    (folder / "etc/distromatrix/apt.conf").write_text(handed.apt_conf or "")
    lines = f"FROM {debian}\nCOPY etc /etc/\nENV {env}\nLABEL {label}=1 distromatrix.kind={label}\n"
    (folder / "Dockerfile").write_text(lines)
    subprocess.run(["docker", "build", "-q", "-t", f"{label}:base", folder], check=True)
    return f"{label}:base"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image that the page makes; it and all that it is made of goes in the end."""
    if not SOCKET.is_socket():
        unobtainable(f"there is no {SOCKET}")
    tag = f"distromatrix-test-{secrets.token_hex(6)}"
    given = f"--build-arg BASE={base(tmp_path_factory.mktemp('base'), tag)}"
    script = with_words(BUILD, {"-t distromatrix .": f"-t {tag} {given} ."})
    try:
        subprocess.run(["sh", "-e", "-c", script], cwd=ROOT, check=True)
        yield tag
    finally:
        subprocess.run(["docker", "image", "rm", "-f", tag, f"{tag}:base"], check=False)
        prune = ["docker", "image", "prune", "--force", "--filter", f"label={tag}"]
        subprocess.run(prune, check=False)


@dataclass
class Contained:
    """Products of a user's, and distromatrix called there as the page does."""

    image: str
    user: int
    folder: Path
    products: list[Project] = field(default_factory=list)

    def product(self, suites: dict[str, str]) -> Project:
        made = Project(self.folder / f"p{len(self.products)}", alpine_or_pulled().parent)
        made.suites(suites)
        self.products.append(made)
        if not os.geteuid():
            subprocess.run(["chown", "-R", f"{self.user}:{self.user}", self.folder], check=True)
        return made

    def start(self, product: Project, words: str = "run", more: str = "") -> subprocess.Popen[str]:
        archives = product.archives
        script = with_words(
            RUN,
            {
                " -it ": f" {more} -v {archives}:{archives} -e DISTROMATRIX_ARCHIVES={archives} ",
                " distromatrix run": f" {self.image} {words}",
            },
        )
        whose = {"user": self.user, "group": self.user, "extra_groups": [SOCKET.stat().st_gid]}
        return subprocess.Popen(
            ["sh", "-e", "-c", script],
            cwd=product.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **({} if os.geteuid() else whose),  # type: ignore[arg-type]
        )

    def call(self, product: Project, words: str = "run") -> tuple[int, str]:
        process = self.start(product, words)
        out, _ = process.communicate(timeout=600)
        return process.returncode, out


@pytest.fixture(params=["caller", "ordinary"])
def contained(request: pytest.FixtureRequest, image: str) -> Iterator[Contained]:
    user = ORDINARY if request.param == "ordinary" and not os.geteuid() else os.geteuid()
    with tempfile.TemporaryDirectory() as folder:  # into which others may, unlike tmp_path
        made = Contained(image, user, Path(folder))
        yield made
        for product in made.products:
            product.clean()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def test_cells_are_run_on_the_hosts_engine_and_nothing_stays(contained: Contained) -> None:
    product = contained.product({"good": "grep hello hello", "bad": "exit 3"})
    code, said = contained.call(product)
    assert (code, {name: one["verdict"] for name, one in product.results().items()}) == (
        1,
        {"good": "passed", "bad": "failed"},
    ), said
    assert contained.call(product, "run '*/good'")[0] == 0
    made = [path for path in (product.root, *product.root.rglob("*"))]
    assert {path.lstat().st_uid for path in made} == {contained.user}
    assert product.left() == []


def test_what_a_killed_one_left_goes_with_the_next_of_its_name_and_no_other(
    contained: Contained,
) -> None:
    product = contained.product({"long": "echo begun; sleep 600"})
    name = f"{contained.image}-killed"
    process = contained.start(product, more=f"--name {name}")
    until(lambda: '"begun' in product.journal() or process.poll() is not None)
    subprocess.run(["docker", "kill", name], check=True)
    process.communicate(timeout=60)
    left = product.left()
    assert left

    other = contained.product({"good": "true"})
    assert contained.call(other)[0] == 0
    assert product.left() == left

    product.suites({"good": "true"})
    code, said = contained.call(product)
    assert code == 0, said
    assert product.left() == []
