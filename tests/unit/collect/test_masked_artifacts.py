"""Artifacts that are text are masked as they come home; of others it is told what they hold."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from stat import S_IFLNK

import pytest

from distromatrix.collect import masked_file
from distromatrix.collect.artifacts import Aside, extract
from distromatrix.collect.errors import CollectError
from distromatrix.collect.masking import Masker
from distromatrix.files.small_tar import tar_of

SECRET = 's3cr&t/pä"ss'
BASE64 = b64encode(f"user:{SECRET}".encode())


def home(
    folder: Path, cut: int | None = None, **files: bytes
) -> tuple[dict[str, bytes], list[str]]:
    tar = tar_of((f"out/artifacts/{name}", data, 0o644) for name, data in files.items())
    told: list[str] = []
    data = tar[:cut]
    try:
        got = extract(iter([data]), folder, masker=Masker((SECRET,)))
        told += got.unmasked
    except CollectError:
        assert cut
    return {path.name: path.read_bytes() for path in (folder / "artifacts").iterdir()}, told


@pytest.fixture(params=[7, 64, 1024**2])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in pieces of that size."""
    monkeypatch.setattr(masked_file, "_CHUNK", request.param)
    monkeypatch.setattr("distromatrix.collect.artifacts._CHUNK", request.param)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_text_is_masked(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if "16" in encoding else ""
    text = f"{mark}ä {SECRET}{SECRET} %s\n" + "x" * 300 + f"{SECRET}\n" + "y" * 90 + "é"
    text %= BASE64.decode()
    found, told = home(tmp_path, a=text.encode(encoding), b=b"plain")
    shown = found["a"].decode(encoding)
    assert SECRET not in shown
    assert BASE64.decode()[8:-4] not in shown
    head, _, rest = shown.partition("\n")
    assert head.startswith(f"{mark}ä ****** ")
    assert rest == "x" * 300 + "***\n" + "y" * 90 + "é"
    assert (found["b"], told) == (b"plain", [])


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 90 + SECRET.encode() + b"\0" * 90,
        b"\xff\xfe" + SECRET.encode("utf-16-le") + b"\0\xd8\0",
        b"\x89PNG" + SECRET.encode("utf-16-be"),
        b"latin: \xe9 " + BASE64,
    ],
)
def test_what_is_no_text_is_kept_and_told(tmp_path: Path, data: bytes) -> None:
    found, told = home(tmp_path, bin=data, other=b"\0\xff" * 500, empty=b"")
    assert found == {"bin": data, "other": b"\0\xff" * 500, "empty": b""}
    assert told == ["bin"]


@pytest.mark.parametrize("spelt", [SECRET, SECRET.replace("/", "_"), SECRET.encode().hex()])
def test_names_are_masked(tmp_path: Path, spelt: str) -> None:
    masker = Masker((SECRET, SECRET.replace("/", "_")))
    kinds = (("in", None, 0o755), ("in/a", b"", 0o644), ("link", b"", S_IFLNK | 0o777))
    tar = tar_of((f"out/artifacts/x-{spelt}/{name}-{spelt}.txt", *kind) for name, *kind in kinds)
    got = extract(iter([tar]), tmp_path, masker=masker)
    found = [str(path.relative_to(tmp_path / "artifacts")) for path in tmp_path.rglob("*")]
    assert sorted(found)[1:] == ["x-***", "x-***/in", "x-***/in-***.txt", "x-***/in/a-***.txt"]
    assert got.skipped == ("x-***/link-***.txt (a symbolic link)",)


def test_what_is_cut_off_is_masked_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distromatrix.collect.artifacts._CHUNK", 64)
    found, _ = home(tmp_path, 512 + 600, a=SECRET.encode() + b"\n" + b"x" * 2000)
    assert SECRET.encode() not in found["a"]


def test_reports_come_as_they_are(tmp_path: Path) -> None:
    """They are parsed first, and masked as they are stored."""
    (tmp_path / "reports").mkdir()
    tar = tar_of((("out/junit.xml", SECRET.encode(), 0o644),))
    aside = Aside(names=("junit.xml",), dest=tmp_path / "reports", limit_bytes=1000)
    extract(iter([tar]), tmp_path, aside=aside, masker=Masker((SECRET,)))
    assert (tmp_path / "reports/junit.xml").read_text() == SECRET
