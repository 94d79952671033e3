"""`images export` and `images import`: from one machine to another that has nothing."""

from __future__ import annotations

import json
import re
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_world import MATRIX, Cli

from distromatrix.files.small_tar import tar_of
from distromatrix.files.whole import whole_file
from distromatrix.images.store.carry import CONTENT, MANIFEST
from fake_engine.engine import FakeEngine

Elsewhere = Callable[[], FakeEngine]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    """From now on we are on another machine."""

    def go() -> FakeEngine:
        monkeypatch.setenv("DISTROMATRIX_FAKE", str(tmp_path / "elsewhere"))
        return FakeEngine(tmp_path / "elsewhere")

    return go


@pytest.fixture
def exported(cli: Cli, project: Path) -> Path:
    """A file with the base image of one distro and a prepared layer on it."""
    (project / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (project / "matrix/default.yaml").write_text(f"ca_bundle: ca.pem\n{MATRIX}")
    assert cli("images", "export", "images.tar", "one").code == 0
    return project / "images.tar"


def rewritten(file: Path, change: Callable[[dict], None], content: bytes | None = None) -> None:
    """The file with another manifest."""
    with tarfile.open(file) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    members[MANIFEST] = json.dumps(manifest).encode()
    file.write_bytes(tar_of((name, data, 0o644) for name, data in members.items()))


def test_what_was_exported_runs_offline_where_nothing_was(
    cli: Cli, exported: Path, elsewhere: Elsewhere
) -> None:
    elsewhere()
    assert cli("run", "--offline", "one").code == 69
    said = cli("images", "import", str(exported))
    assert said.code == 0
    assert re.findall(r"loaded distromatrix/(\w+):", said.out) == ["base", "prepared"]
    assert "2 images, written on " in said.err
    assert cli("run", "--offline", "one/good").code == 0
    said = cli("run", "--offline")
    assert (said.code, said.err.count("base image of")) == (69, 1)


def test_images_keep_their_age_on_the_way(cli: Cli, exported: Path, elsewhere: Elsewhere) -> None:
    def age(manifest: dict) -> None:
        for one in manifest["images"]:
            one["image"]["created"] -= 20 * 86400

    rewritten(exported, age)
    elsewhere()
    cli("images", "import", str(exported))
    rows = json.loads(cli("images", "list", "--json").out)
    assert all(19 < (time.time() - row["created"]) / 86400 < 21 for row in rows)
    assert cli("run", "--offline", "one/good").code == 0  # though their refresh has passed


def test_a_second_import_loads_nothing_and_makes_nothing_younger(
    cli: Cli, exported: Path, elsewhere: Elsewhere
) -> None:
    engine = elsewhere()
    cli("images", "import", str(exported))
    before = engine.images.list()
    said = cli("images", "import", str(exported))
    assert (said.code, said.out) == (0, "")
    assert "2 already present" in said.err
    assert engine.images.list() == before


def test_images_are_found_by_users_with_other_settings(
    cli: Cli, project: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTROMATRIX_REGISTRY", "mirror.example")
    assert cli("images", "export", "images.tar", "one/bad").code == 0
    elsewhere()
    monkeypatch.delenv("DISTROMATRIX_REGISTRY")
    assert cli("images", "import", "images.tar").code == 0
    assert cli("run", "--offline", "one/bad").code == 0


def test_what_an_export_needs_is_made_first_but_offline_it_is_missing(
    cli: Cli, project: Path
) -> None:
    said = cli("images", "export", "--offline", "images.tar", "one/bad")
    assert said.code == 69
    assert "base image of one" in said.err
    assert not (project / "images.tar").exists()


def damaged(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[700] ^= 1
    file.write_bytes(data)


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1500])


def some_tar(file: Path) -> None:
    with tarfile.open(file, "w") as tar:
        tar.add(__file__, "readme")


def another_format(file: Path) -> None:
    rewritten(file, lambda m: m.update(format=99))


def other_machines(file: Path) -> None:
    rewritten(file, lambda m: m["images"][0]["image"].update(arch="aarch64"))


def foreign_tag(file: Path) -> None:
    rewritten(file, lambda m: m["images"][0].update(also=["debian:12"]))


def more_inside(file: Path) -> None:
    rewritten(file, lambda m: m["images"].pop())


def no_sense(file: Path) -> None:
    rewritten(file, lambda m: m.update(images=7))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (damaged, "is damaged: the sha256 of its content is "),
        (cut_off, "is damaged: it ends too early; copy it again"),
        (some_tar, "was not written by `distromatrix images export`"),
        (
            lambda file: file.write_bytes(b"x" * 5000),
            "was not written by `distromatrix images export`",
        ),
        (lambda file: file.write_bytes(b""), "was not written by `distromatrix images export`"),
        (no_sense, "was not written by `distromatrix images export`"),
        (another_format, "has format 99, this distromatrix reads 1"),
        (other_machines, "holds images for aarch64; this host is "),
        (foreign_tag, "debian:12 is in it and not of ours"),
        (more_inside, "is in it and not of ours"),
        (lambda file: file.unlink(), "cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_and_nothing_is_loaded(
    cli: Cli, exported: Path, elsewhere: Elsewhere, harm: Callable[[Path], None], words: str
) -> None:
    harm(exported)
    engine = elsewhere()
    said = cli("images", "import", str(exported))
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert f"{exported}: " in said.err
    assert words in said.err
    assert engine.images.list() == ()


def test_an_export_that_fails_leaves_the_former_file_as_it_was(
    cli: Cli, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exported.read_bytes()

    def save(self: object, tags: object):
        yield b"some"
        raise OSError(28, "No space left on device", str(exported))

    monkeypatch.setattr("fake_engine.images.FakeImages.save", save)
    said = cli("images", "export", str(exported), "one")
    assert said.code == 69
    assert "No space left on device" in said.err
    assert exported.read_bytes() == before
    assert [p.name for p in exported.parent.iterdir() if "images" in p.name] == ["images.tar"]


@pytest.mark.parametrize("nameless", [True, False])
def test_a_file_has_no_name_before_it_is_whole_where_that_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:
        monkeypatch.setattr("distromatrix.files.whole._nameless", lambda folder: None)
    target, part = tmp_path / "x", tmp_path / "x.part"
    part.write_bytes(b"of one that was killed")
    with whole_file(target) as out:
        out.write(b"some")
        out.flush()
        assert part.exists() is not nameless
        assert not target.exists()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"some")]


@pytest.mark.parametrize(
    ("target", "words"),
    [("nowhere/x.tar", "its folder does not exist"), (".", "is a folder")],
)
def test_a_place_that_cannot_be_written_is_told_before_anything_is_made(
    cli: Cli, target: str, words: str
) -> None:
    said = cli("images", "export", target)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert words in said.err


def test_a_file_holds_what_it_says(exported: Path) -> None:
    with tarfile.open(exported) as tar:
        assert tar.getnames() == [CONTENT, MANIFEST]
        manifest = json.load(tar.extractfile(MANIFEST))  # type: ignore[arg-type]
    assert manifest["format"] == 1
    assert [one["image"]["tag"].partition(":")[0] for one in manifest["images"]] == [
        "distromatrix/base",
        "distromatrix/prepared",
    ]


def test_as_is_only_what_is_here_is_written_and_nothing_made(cli: Cli, project: Path) -> None:
    nothing = cli("images", "export", "images.tar", "--as-is")
    assert (nothing.code, nothing.err) == (3, "images.tar: no images to write\n")
    assert cli("images", "list").out == ""
    assert cli("images", "build", "one").code == 0
    assert cli("images", "export", "images.tar", "--as-is").code == 0
    with tarfile.open(project / "images.tar") as tar:
        manifest = json.load(tar.extractfile(MANIFEST))  # type: ignore[arg-type]
    assert [one["image"]["tag"].split(":")[1][:3] for one in manifest["images"]] == ["one"]


def test_a_shards_images_are_those_of_its_cells(cli: Cli, project: Path) -> None:
    assert cli("plan", "--save", "plan.json").code == 0
    shard = ("--plan", "plan.json", "--shard", "4/4")
    cells = json.loads(cli("plan", *shard, "--json").out)["cells"]
    assert [c["distro"] for c in cells] == ["two"]
    said = cli("images", "export", "images.tar", *shard)
    assert said.code == 0
    assert "base:two-" in said.err and "base:one-" not in said.err
    assert cli("images", "export", "images.tar", "one", *shard).code == 2


def test_what_would_be_too_large_is_not_written(cli: Cli, project: Path) -> None:
    for size, code in (("0.1K", 2), ("1G", 0)):
        said = cli("images", "export", "images.tar", "one", "--at-most", size)
        assert said.code == code, said.err
        assert (project / "images.tar").exists() == (code == 0)
    assert cli("images", "export", "images.tar", "--at-most", "much").code == 2
