"""Plan files: the same on every machine that plans the same, and not trusted."""

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from test_plan import FACTS, planned
from test_shards import cell, plan_of

from distromatrix.errors import InputError
from distromatrix.model import HostFacts, Plan, Selection, Shard
from distromatrix.plan.file import (
    WHOLE,
    PlanFile,
    digest_of,
    plan_file,
    read_plan,
    read_plan_file,
    save_plan,
    shard_stamp,
    store_plan,
)


def made(plan: Plan | None = None, facts: HostFacts = FACTS) -> PlanFile:
    return plan_file(plan or planned(), facts, Selection(), {"debian-12/unit": 2.5})


def written(path: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
    save_plan(made(), path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_a_plan_file_comes_back_as_it_was(tmp_path: Path) -> None:
    save_plan(made(), tmp_path / "p.json")
    assert read_plan_file(tmp_path / "p.json") == made()
    assert read_plan_file(tmp_path / "p.json").seconds == {"debian-12/unit": 2.5}


def test_a_run_folder_holds_it_with_its_shard(tmp_path: Path) -> None:
    save_plan(replace(made(), shard=Shard(2, 3)), tmp_path / WHOLE)
    assert read_plan_file(tmp_path / WHOLE) == replace(made(), shard=Shard(2, 3))
    assert shard_stamp(tmp_path) == {"shard": "2/3", "digest": made().digest}
    assert shard_stamp(tmp_path / "none") == {}


def test_its_paths_are_from_the_projects_root(tmp_path: Path) -> None:
    save_plan(made(), tmp_path / "p.json")
    content = json.loads((tmp_path / "p.json").read_text())
    assert (content["root"], content["matrix"]) == (".", "matrix/default.yaml")
    assert content["product"]["path"] == "."
    assert '"/p' not in (tmp_path / "p.json").read_text()


def test_a_plan_is_stored_as_pydantic_would_write_it(tmp_path: Path) -> None:
    store_plan(planned(), tmp_path / "plan.json")
    stored = json.loads((tmp_path / "plan.json").read_bytes())
    assert stored == TypeAdapter(Plan).dump_python(planned(), mode="json")
    assert read_plan(tmp_path / "plan.json") == planned()


def test_the_digest_is_of_what_is_planned_and_not_of_where() -> None:
    plan = planned()
    elsewhere = replace(
        plan,
        matrix=Path("/q/r/matrix/default.yaml"),
        root=Path("/q/r"),
        product=replace(plan.product, path=Path("/q/r")),
        warnings=("it is late",),
        guests={"qemu": "not here"},
        cells=tuple(replace(c, engine="podman", reason="other words") for c in plan.cells),
        distros=tuple(replace(d, file=Path("/q/r/distros/x.yaml")) for d in plan.distros),
    )
    assert digest_of(elsewhere, {}) == digest_of(plan, {})


@pytest.mark.parametrize(("one", "other"), [("/a/ca.pem", "/b/ca.pem"), ("../ca", "../../ca")])
def test_a_path_outside_the_project_is_each_machines_own(one: str, other: str) -> None:
    plans = [replace(planned(), ca_bundle=path) for path in (one, other)]
    assert digest_of(plans[0], {}) == digest_of(plans[1], {}) != digest_of(planned(), {})


@pytest.mark.parametrize(
    "change",
    [
        lambda p: replace(p, cells=p.cells[:-1]),
        lambda p: replace(p, arch="aarch64"),
        lambda p: replace(p, ca_bundle="host"),
        lambda p: replace(p, ca_bundle="/p/ca.pem"),
        lambda p: replace(p, cells=(replace(p.cells[0], run="false"), *p.cells[1:])),
        lambda p: replace(p, cells=(replace(p.cells[0], engine="qemu"), *p.cells[1:])),
        lambda p: replace(p, repeat=2),
        lambda p: replace(p, seed=0),
        lambda p: replace(p, pass_env=("TOKEN",)),
        lambda p: replace(p, runners={"docker": ("big",)}),
        lambda p: replace(p, distros=(replace(p.distros[0], image=()), *p.distros[1:])),
    ],
)
def test_another_plan_has_another_digest(change: Callable[[Plan], Plan]) -> None:
    assert digest_of(change(planned()), {}) != digest_of(planned(), {})


def test_other_durations_make_other_shards_and_so_another_digest() -> None:
    assert digest_of(planned(), {"a": 1.0}) != digest_of(planned(), {"a": 2.0})
    assert digest_of(planned(), {"a": 1.0, "b": 2.0}) == digest_of(planned(), {"b": 2.0, "a": 1.0})


def set_to(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.__setitem__(key, value)


def first_cell(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["cells"][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_to("version", 2), "is a plan file of version 2, and not 1 (plan and run with"),
        (set_to("version", None), "is a plan file of version None, and not 1"),
        (
            lambda c: c.pop("digest"),
            "is not a plan file (`distromatrix plan --save FILE` writes one)",
        ),
        (lambda c: c.pop("cells"), "is not a complete plan file: cells: Field required"),
        (lambda c: c.pop("facts"), "is not a complete plan file: facts: Field required"),
        (set_to("cells", 5), "is not a complete plan file: cells: "),
        (set_to("seconds", {"a": -1}), "is not a complete plan file: seconds.a: "),
        (set_to("seconds", {"a\nb": -1}), "is not a complete plan file: seconds.a\\nb: "),
        (set_to("shard", "4/3"), "has a wrong `shard`: expected K/N"),
        (set_to("digest", "sha256:00"), "was changed after it was written (digest mismatch)"),
        (set_to("seconds", {"debian-12/unit": 3}), "digest mismatch"),
        (first_cell("run", "rm -rf /"), "digest mismatch"),
        (set_to("repeat", 0), "has a wrong `repeat`, `seed` or `timeout`"),
        (set_to("seed", 2**32), "has a wrong `repeat`, `seed` or `timeout`"),
        (set_to("selection", {"timeout": -1}), "has a wrong `repeat`, `seed` or `timeout`"),
        (first_cell("id", "../../etc"), "has a wrong cell: '../../etc'"),
        (first_cell("distro", ".."), "has a wrong cell: 'debian-11/unit'"),
        (first_cell("caches", {"a/..\0": "/x"}), "has a wrong cell: 'debian-11/unit'"),
        (lambda c: c["cells"].append(c["cells"][0]), "has a cell twice"),
    ],
)
def test_a_plan_file_that_was_changed_is_told_in_a_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    path = written(tmp_path / "p.json", change)
    with pytest.raises(InputError) as caught:
        read_plan_file(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert said in text
    assert "\n" not in text


ADAPTER = TypeAdapter(Plan)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=5),
    st.just({}),
    st.just([[[]]]),
    st.just("../" * 500),
)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_a_plan_file_says_it_is_read_or_told_in_a_line(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.json"
        save_plan(made(), path)
        content = json.loads(path.read_text())
        inner: Any = content
        while True:
            keys = [*inner] if isinstance(inner, dict) else [*range(len(inner))]
            key = data.draw(st.sampled_from(keys))
            if not (isinstance(inner[key], dict | list) and inner[key]) or data.draw(st.booleans()):
                break
            inner = inner[key]
        inner[key] = data.draw(ANYTHING)
        if data.draw(st.booleans()):  # by one who knows how a digest is made
            with suppress(Exception):
                plan = ADAPTER.validate_python(content)
                content["digest"] = digest_of(plan, content["seconds"])
        path.write_text(json.dumps(content))
        try:
            read_plan_file(path)
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is not JSON, or is cut off"),
        (b'{"version": 1, "digest": "x", "cells": [', "is not JSON, or is cut off"),
        (b"\xff\x00", "is not JSON, or is cut off"),
        (b"[" * 100_000, "is not JSON, or is cut off"),
        (b"[1, 2]", "is not a plan file"),
        (b"null", "is not a plan file"),
        (
            b'{"version": 1, "digest": 5}',
            "is not a complete plan file: distromatrix: Field required",
        ),
        (b'{"version": NaN, "digest": 5}', "is a plan file of version nan, and not 1"),
    ],
)
def test_what_is_no_plan_file_is_told_in_a_line(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(raw)
    with pytest.raises(InputError) as caught:
        read_plan_file(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_file_of_another_version_says_so(tmp_path: Path) -> None:
    def older(content: dict[str, Any]) -> None:
        content["distromatrix"] = "0.0.1"
        del content["cells"][0]["run"]

    with pytest.raises(InputError, match=r"it is of distromatrix 0\.0\.1"):
        read_plan_file(written(tmp_path / "p.json", older))


def test_a_stored_plan_is_no_plan_file(tmp_path: Path) -> None:
    store_plan(planned(), tmp_path / "plan.json")
    with pytest.raises(InputError, match="is not a plan file"):
        read_plan_file(tmp_path / "plan.json")


def test_a_plan_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        read_plan_file(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_plan_file(tmp_path)


def test_a_stored_plan_of_before_there_were_runners_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    store_plan(plan_of(cell("a/b")), path)
    content = json.loads(path.read_text())
    del content["runners"]
    path.write_text(json.dumps(content))
    assert read_plan(path).runners == {}
