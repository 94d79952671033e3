"""Files of the checkout and of the user."""

from __future__ import annotations

import re
from contextlib import suppress

from fuzzing import FACTS, TODAY, folder, plain, project, target, told, unpack

from distromatrix.errors import InputError, NothingSelectedError
from distromatrix.files.below import Folder
from distromatrix.init import look
from distromatrix.load import load_distros, load_matrix, load_settings
from distromatrix.load.imports.formats import FORMATS
from distromatrix.load.lock import LOCK, as_text, read_lock
from distromatrix.load.pipes import hiding_pipe
from distromatrix.load.shapes.fields import is_constraint, parse_duration, parse_size
from distromatrix.model import CellSet, Selection
from distromatrix.plan.file import plan_file, plan_to_json, read_plan_file, save_plan
from distromatrix.plan.make import make_plan
from distromatrix.plan.select import select


@target
def matrix(data: bytes) -> None:
    """The matrix file."""
    with project(matrix=data) as root:
        try:
            plan = make_plan(
                load_matrix(root / "matrix/default.yaml", today=TODAY), FACTS, Selection()
            )
        except (InputError, NothingSelectedError) as error:
            told(error)
            return
        path = root / "plan.json"
        save_plan(plan_file(plan, FACTS, Selection(), {}), path)
        assert plan_to_json(read_plan_file(path).plan) == plan_to_json(plan)


@target
def distro(data: bytes) -> None:
    """A distro's file."""
    with project(distro=data) as root:
        try:
            load_distros(root)
            load_matrix(root / "matrix/default.yaml", today=TODAY)
        except InputError as error:
            told(error)


@target
def lock(data: bytes) -> None:
    """distros.lock; what is written of what was read says the same."""
    with folder() as root:
        (root / LOCK).write_bytes(data)
        try:
            found = read_lock(root)
        except InputError as error:
            told(error)
            return
        assert found is not None
        (root / LOCK).write_text(as_text(found.entries), "utf-8")
        assert read_lock(root) == found


@target
def settings(data: bytes) -> None:
    """config.yaml; its lines are the environment, too."""
    lines = [line.decode("utf-8", "replace").replace("\0", "") for line in data.split(b"\n")]
    names = ("REGISTRY", "ENGINE", "JOBS", "ACCEL", "ARCHIVES", "OFFLINE")
    said = {f"DISTROMATRIX_{n}": v for n, v in zip(names, lines, strict=False)}
    with folder() as root:
        (root / "config.yaml").write_bytes(data)
        for environ in ({}, said):
            try:
                load_settings(root / "config.yaml", environ)
            except InputError as error:
                told(error)


@target
def scalars(data: bytes) -> None:
    """Durations, sizes, versions, commands: what a word of a file may be."""
    text = data.decode("utf-8", "surrogateescape")
    for parse, most in ((parse_duration, 365 * 86400), (parse_size, 1 << 60)):
        with suppress(ValueError):
            assert 0 <= parse(text) <= most
    is_constraint(text)
    hiding_pipe(text)


@target
def selects(data: bytes) -> None:
    """Selectors, tags and sets: a line each, `!` excludes, `#` is a tag, `@` a set."""
    lines = data.decode("utf-8", "replace").split("\n")
    kinds: dict[str, list[str]] = {"!": [], "#": [], "@": []}
    wanted = [line for line in lines if line[:1] not in kinds]
    for line in lines:
        kinds.get(line[:1], []).append(line[1:])
    selection = Selection(
        selectors=tuple(wanted),
        exclude=tuple(kinds["!"]),
        tags=tuple(kinds["#"]),
        sets=tuple(kinds["@"]),
    )
    cells = {f"debian-{n}/{suite}": (suite,) for n in range(9) for suite in ("unit", "docs/a")}
    try:
        left_out = select(cells, selection, (CellSet(name="pr", tags=("unit",)),))
    except (InputError, NothingSelectedError) as error:
        told(error)
    else:
        assert set(left_out) < set(cells)


@target
def imported(data: bytes) -> None:
    """What `suites: {import: …}` reads of a product (see `unpack`)."""
    with folder() as root:
        unpack(data, root)
        with Folder.at(root) as inside:
            for form in FORMATS.values():
                if not form.is_there(inside, form.usual):
                    continue
                try:
                    found = form.read_suites(inside, form.usual)
                except InputError as error:
                    told(error)
                    continue
                for line in found.left_out:
                    plain(line)
                for suite in found.suites.values():
                    plain(f"{suite.file}:{suite.line}")
                    assert {"run", "user"} <= suite.keys.keys()


@target
def product(data: bytes) -> None:
    """The files of a product that `init` looks through (see `unpack`)."""
    with project() as root:
        inside = root / "product"
        inside.mkdir()
        unpack(data, inside)
        found = look(inside)
        text = found.text(("one",))
        for line in (*found.warnings, *text.split("\n")):
            plain(line.replace("\t", " "))
        text = re.sub(r"(?m)^(product: (?:\{path: )?)\.", r"\1product", text)
        (root / "matrix/default.yaml").write_text(text, "utf-8")
        loaded = load_matrix(root / "matrix/default.yaml", today=TODAY)
        assert len(loaded.suites) >= len(found.suites)
