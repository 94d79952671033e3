"""What other jobs left: plan files, shards, a history."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from dataclasses import asdict, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

from fuzzing import (
    FACTS,
    TODAY,
    folder,
    patched,
    plain,
    project,
    split,
    target,
    told,
    unpack,
    with_checksums,
)
from pydantic import TypeAdapter, ValidationError

from distromatrix.engines.contract import Engine
from distromatrix.engines.docker.staging.transfer import TransferredImages
from distromatrix.engines.image_store import Image
from distromatrix.errors import InfrastructureError, InputError
from distromatrix.images.store import carry, machine_file
from distromatrix.load import load_matrix
from distromatrix.merge import find_shards, localised, merge
from distromatrix.model import CellResult, Plan, Selection, Shard, Verdict
from distromatrix.plan.file import (
    WHOLE,
    PlanFile,
    difference,
    digest_of,
    plan_file,
    plan_to_json,
    portable,
    read_plan_file,
    save_plan,
)
from distromatrix.plan.make import make_plan
from distromatrix.plan.shards import shards
from distromatrix.record.events import CellFinished, RunFinished, RunStarted
from distromatrix.record.folder import RunFolder
from distromatrix.record.history import History, RunStamp
from distromatrix.record.journal import Journal
from distromatrix.reports.files import write_reports
from distromatrix.reports.replay import warnings

_PLAN, _SECONDS = TypeAdapter(Plan), TypeAdapter(dict[str, float])


@target
def history_file(data: bytes) -> None:
    """A history that CI's cache gave back."""
    with project() as root:
        path = root / "history.sqlite3"
        path.write_bytes(data)
        past = History(path, "matrix/default.yaml", given=True)
        found = past.durations()
        plain(found.warning)
        plain(past.add(RunStamp("r", 1.0), ()))
        loaded = load_matrix(root / "matrix/default.yaml", today=TODAY)
        for seconds in found.estimate(make_plan(loaded, FACTS, Selection())).values():
            assert 0 <= seconds < 366 * 86400


@cache
def _whole() -> tuple[PlanFile, bytes]:
    """A plan file that is as it should be."""
    with project() as root:
        loaded = load_matrix(root / "matrix/default.yaml", today=TODAY)
        made = make_plan(loaded, FACTS, Selection())
        file = plan_file(made, FACTS, Selection(), {"one/unit": 9.0})
        save_plan(file, root / "plan.json")
        return file, (root / "plan.json").read_bytes()


def _digested(raw: bytes) -> bytes:
    """With the digest that is right for what it says."""
    try:
        found = json.loads(raw)
        plan = _PLAN.validate_json(raw)
        seconds = _SECONDS.validate_python(found["seconds"])
        found["digest"] = digest_of(plan, seconds)
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return raw
    return json.dumps(found).encode()


@target
def plan(data: bytes) -> None:
    """A plan file: the bytes are a patch of a good one (see `patched`), whose digest is put
    right; a patch that is no JSON is the whole file."""
    good, whole = _whole()
    with folder() as root:
        path = root / "plan.json"
        path.write_bytes(patched(whole, data))
        try:
            read_plan_file(path)
        except InputError as error:
            told(error)
        path.write_bytes(_digested(path.read_bytes()))
        try:
            found = read_plan_file(path)
        except InputError as error:
            told(error)
            return
        plain(difference(good.plan, found.plan))
        portable(found.plan)
        local = localised(found.plan, root)
        assert len(plan_to_json(local)["cells"]) == len(found.plan.cells)
        parts = shards(found.plan, found.seconds, 3)
        assert sum(map(len, parts)) == len(found.plan.cells)
        save_plan(found, root / "again.json")
        assert read_plan_file(root / "again.json") == found


@target
def shard_folders(data: bytes) -> None:
    """The folders of two shards, in which files were changed (see `unpack`)."""
    good, _ = _whole()
    with folder() as root:
        (root / "secret").mkdir()
        (root / "secret/log.txt").write_text("kept to itself")
        jobs = root / "jobs"
        for number in (1, 2):
            _leave(good, jobs / f"{number}/run", number)
        unpack(data, jobs)
        for path in jobs.rglob(WHOLE):
            if path.is_file() and not path.is_symlink():
                path.write_bytes(_digested(path.read_bytes()))
        try:
            found = find_shards((jobs,), None)
        except InputError as error:
            told(error)
            return
        with RunFolder.create(root) as run:
            merged = merge(found, localised(found.file.plan, root), run)
            write_reports(run.path, localised(found.file.plan, root), merged)
        for line in warnings(run.path):
            plain(line)
        for path in run.path.rglob("*"):
            assert not path.is_symlink()
            assert path.is_dir() or b"kept to itself" not in path.read_bytes()


def _leave(file: PlanFile, into: Path, number: int) -> None:
    """The run folder of one of two shards, all of whose cells passed."""
    into.mkdir(parents=True)
    (into / "lock").touch()
    save_plan(replace(file, shard=Shard(number, 2)), into / WHOLE)
    cells = [cell.id for cell in shards(file.plan, file.seconds, 2)[number - 1]]
    with Journal(into / "journal.jsonl") as journal:
        journal(RunStarted(run=f"run-{number}", cells=tuple(cells), jobs=1, engine="e", time=1.0))
        for cell in cells:
            (into / "cells" / cell).mkdir(parents=True)
            (into / "cells" / cell / "log.txt").write_bytes(os.urandom(3))
            journal(
                CellFinished(
                    result=CellResult(id=cell, verdict=Verdict.PASSED, engine="docker"), time=2.0
                )
            )
        journal(RunFinished(verdict=Verdict.PASSED, exit_code=0, seconds=1.0, time=3.0))


class _Images:
    """What importing asks of an engine; its reader of saved images is Docker's."""

    arch = "x86_64"

    def facts(self) -> _Images:
        return self

    @property
    def images(self) -> _Images:
        return self

    def tags_in(self, tar: BinaryIO) -> tuple[str, ...]:
        return TransferredImages.tags_in(tar)

    def find(self, tag: str) -> None: ...

    def load(self, tar: BinaryIO, images: tuple[Image, ...]) -> None:
        assert all(image.tag.startswith("distromatrix/") for image in images)

    def tag(self, image: str, tag: str) -> None:
        assert tag.startswith("distromatrix/")


@target
def images(data: bytes) -> None:
    """A file of images, as another host exported it: its whole, or, where it begins with `{`, a
    patch of its manifest in a line, and then its content."""
    content, manifest = with_checksums(data), b""
    if data.startswith(b"{"):
        patch, content = split(data)
        content = gzip.compress(with_checksums(content), 1, mtime=0)
        image = {"tag": "distromatrix/x:1", "id": "i", "arch": "x86_64", "size": 1, "created": 1.0}
        whole = {
            "format": carry.FORMAT, "distromatrix": "1", "engine": "e", "written": 1.0,
            "sha256": sha256(content).hexdigest(), "bytes": len(content),
            "images": [{"image": {**image, "labels": {}, "digests": []}, "also": []}],
        }  # fmt: skip
        manifest = patched(json.dumps(whole).encode(), patch)
    with folder() as root:
        path = root / "images"
        if manifest:
            with tarfile.open(path, "w") as tar:
                for name, said in ((carry.CONTENT, content), (carry.MANIFEST, manifest)):
                    info = tarfile.TarInfo(name)
                    info.size = len(said)
                    tar.addfile(info, io.BytesIO(said))
        else:
            path.write_bytes(content)
        try:
            carry.import_(cast(Engine, _Images()), path, lambda _: None)
        except (InputError, InfrastructureError) as error:
            assert str(error)


@target
def machine(data: bytes) -> None:
    """A machine's file, as a stranger exported it: its whole, or, where it begins with `{`, a patch
    of its header in a line, and then the tar of its changes."""
    content, text = with_checksums(data), b""
    if data.startswith(b"{"):
        patch, content = split(data)
        content = gzip.compress(with_checksums(content), 1, mtime=0)
        about = machine_file.About(
            cell="a/b", distro="a", engine="", arch="x", image="0" * 64, source="pull",
            unpacked=1 << 20, sha256=sha256(content + b"a\0../b\0").hexdigest(),
        )  # fmt: skip
        text = patched(json.dumps(asdict(about)).encode(), patch)
    with folder() as root:
        path = root / "machine"
        path.write_bytes(content)
        if text:
            names = ("distromatrix-machine.json", "changes.tar.gz", "gone")
            with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
                for name, said in zip(
                    names, (text.ljust(1 << 16), content, b"a\0../b\0"), strict=True
                ):
                    info = tarfile.TarInfo(name)
                    info.size = len(said)
                    tar.addfile(info, io.BytesIO(said))
        try:
            with machine_file.opened_machine(path) as opened:
                for name in (opened.about.cell, opened.about.distro, opened.about.distromatrix):
                    plain(name)
                changes = opened.changes(root)
        except InputError as error:
            told(error)
            return
        changes.there.seek(0)
        with changes.gone, changes.there, tarfile.open(fileobj=changes.there, mode="r:") as tar:
            for member in tar:
                led = member.linkname if member.islnk() else ""
                for name in (member.name, led):
                    assert not name.startswith("/") and ".." not in name.split("/"), name
                assert not member.isdev() or member.isfifo()
