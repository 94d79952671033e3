"""A matrix file, found, read and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from distromatrix.errors import Fault, InputError
from distromatrix.load.catalogue import Catalogue
from distromatrix.load.decode import decode
from distromatrix.load.document import Document, Node, shown
from distromatrix.load.pipes import hiding_pipe
from distromatrix.load.read import read_document
from distromatrix.load.shapes.base import Shape
from distromatrix.load.shapes.fields import Context
from distromatrix.load.shapes.matrix import MatrixShape, RuleShape, SuiteOptions, SuiteShape
from distromatrix.load.shapes.repositories import OwnRepositoryShape
from distromatrix.load.shapes.scripts import SetupShape
from distromatrix.model import (
    CellSet,
    Distro,
    Matrix,
    Need,
    Prepare,
    Product,
    Repository,
    Rule,
    Suite,
    Variant,
)
from distromatrix.plan.make import eol_warning
from distromatrix.plan.scripts import pipes_fail
from distromatrix.plan.select import matches_any
from distromatrix.wording import quoted

_DEFAULT = Path("matrix") / "default.yaml"


def find_matrix(directory: Path, file: Path | None) -> Path:
    """The matrix file to use: `file` (relative to `directory`), else matrix/default.yaml.
    Raises InputError, which lists those that are there."""
    path = directory / (file or _DEFAULT)
    try:
        if not directory.is_dir():
            raise InputError(Fault(str(directory), 0, 0, "is not a folder"))
        if path.exists():
            return path
    except OSError as error:
        raise InputError(Fault(str(path), 0, 0, f"cannot be read: {error.strerror}")) from None
    others = [str(p.relative_to(directory)) for p in sorted(directory.glob("matrix/*.yaml"))]
    hint = "say which one with -m FILE: " + ", ".join(others[:10])
    if not others:
        hint = f"write {_DEFAULT}, or say with -C DIR where the product is"
    raise InputError(Fault(shown(path), 0, 0, "no such matrix file", hint))


def project_root(file: Path) -> Path:
    """The folder that a matrix file speaks of: the parent of the `matrix/` it lies in; of a
    file elsewhere, its own folder."""
    folder = file.absolute().parent
    return folder.parent if folder.name == "matrix" else folder


def load_matrix(file: Path, *, today: date) -> Matrix:
    """The matrix of a file, every check passed. Raises InputError with all faults found, in
    this file and in the distros' files."""
    root = project_root(file)
    document = read_document(file, root)
    catalogue = Catalogue.read(root, _texts(document.root, "distros"))
    matched = _matched(document, catalogue.names)
    left_out: tuple[str, ...] = ()
    if document.node(["suites", "import"]):
        from distromatrix.load.imports.graft import graft_imports

        mine = [distro for distro in catalogue.distros if distro.name in matched]
        known = len(document.faults)
        left_out = graft_imports(document, root, mine)
        if len(document.faults) > known:  # names of suites cannot be checked
            raise InputError(*sorted(document.faults), *sorted(catalogue.faults))
    context = Context(
        root=root,
        distros=catalogue.names,
        suites=_keys(document, "suites"),
        variants=_keys(document, "variants"),
        chosen=matched,
        tags=_said_tags(document),
        repositories=_known_repositories(document, catalogue.distros),
    )
    shape = decode(MatrixShape, document, context)
    faults = [*sorted(document.faults), *sorted(catalogue.faults)]
    if shape is None or faults:
        raise InputError(*faults)
    distros = _chosen(shape.distros, catalogue.distros)
    suites = tuple(_suite(n, s, shape.defaults) for n, s in shape.suites.items())
    variants = tuple(Variant(name=n, **_gated(_given(v))) for n, v in shape.variants.items())
    rules = tuple(_rule(i, rule, document) for i, rule in enumerate(shape.rules))
    expired = [line for distro in distros if (line := eol_warning(distro, today))]
    return Matrix(
        file=file.absolute(),
        root=root,
        product=_product(shape),
        distros=distros,
        suites=suites,
        variants=variants,
        rules=rules,
        sets=tuple(CellSet(name=n, **_given(s)) for n, s in shape.sets.items()),
        env=shape.env,
        pass_env=shape.pass_env,
        ca_bundle=shape.ca_bundle,
        index=shape.index,
        runners=shape.runners,
        warnings=(
            *(*expired, *left_out),
            *(*_lapsed(rules, today), *_hiding(suites, shape.env, document)),
        ),
    )


def _hiding(suites: Sequence[Suite], env: Mapping[str, str], document: Document) -> Iterator[str]:
    """Of suites that say nothing but by their status, those that hide it."""
    for suite in suites:
        said = (suite.run, *suite.env.values(), *env.values())
        if suite.report != "junit" or any("DISTROMATRIX_JUNIT" in text for text in said):
            continue
        if not pipes_fail(suite.shell) and (end := hiding_pipe(suite.run)):
            where = document.where(["suites", suite.name, "run"])
            yield (
                f"{where}: the suite `{suite.name}` ends in {quoted(f'… | {end}')}, whose status "
                "is all that counts: what fails before it is not seen; say `shell: bash`, in which "
                "a pipe fails as any of its commands does, or write a report"
            )


def _keys(document: Document, section: str) -> tuple[str, ...]:
    """The names a section declares, also where its values have faults."""
    node = document.node([section])
    return tuple(node.value) if node and isinstance(node.value, dict) else ()


def _matched(document: Document, names: Sequence[str]) -> tuple[str, ...]:
    """The distros of the matrix, also where not all of its globs are right; where none is, that
    is told at them, and all distros do."""
    globs = _texts(document.root, "distros")
    return tuple(name for name in names if matches_any(name, globs)) or tuple(names)


def _said_tags(document: Document) -> tuple[str, ...]:
    """All tags that something has, also where other things have faults."""
    within = [n.value for n in map(document.node, (["suites"], ["variants"], ["rules"])) if n]
    nodes = [n for v in within for n in (v.values() if isinstance(v, dict) else v)]
    found = [
        _texts(n, "tags") for n in (*nodes, document.node(["defaults"])) if isinstance(n, Node)
    ]
    return tuple(dict.fromkeys(tag for tags in found for tag in tags))


def _known_repositories(document: Document, distros: Sequence[Distro]) -> tuple[str, ...]:
    """The names that the matrix's distros know repositories by."""
    globs = _texts(document.root, "distros")
    known = (d.extra_repositories for d in distros if matches_any(d.name, globs))
    return tuple(sorted({name for names in known for name in names}))


def _texts(node: Node | None, key: str) -> tuple[str, ...]:
    """The texts of the list that a mapping has below a key, if it is one."""
    value = node.value.get(key) if node is not None and isinstance(node.value, dict) else None
    items = value.value if value is not None and isinstance(value.value, list) else []
    return tuple(item.value for item in items if isinstance(item.value, str))


def _chosen(globs: Sequence[str], distros: Sequence[Distro]) -> tuple[Distro, ...]:
    chosen = [d for glob in globs for d in distros if fnmatchcase(d.name, glob)]
    return tuple({distro.name: distro for distro in chosen}.values())


def _product(shape: MatrixShape) -> Product:
    if isinstance(shape.product, Path):
        return Product(path=shape.product)
    return Product(path=shape.product.path, git=shape.product.git)


def _suite(name: str, shape: SuiteShape, defaults: SuiteOptions) -> Suite:
    """A suite with the defaults applied. `env` is merged; of all else the suite's own value,
    if it has one, takes the default's place."""
    values: dict[str, Any] = {}
    for source in (defaults, shape):
        values |= {key: getattr(source, key) for key in source.model_fields_set}
    values["env"] = defaults.env | shape.env
    if "needs" in values:
        values["needs"] = tuple(_need(need) for need in values["needs"])
    if (prepare := values.get("prepare")) is not None:
        text = isinstance(prepare, str)
        values["prepare"] = (
            Prepare(run=prepare) if text else Prepare(run=prepare.run, files=prepare.files)
        )
    if isinstance(setup := values.get("setup"), SetupShape):
        values |= {"setup": setup.run, "setup_in_container": True}
    values["repositories"] = _repositories(values.get("repositories", ()))
    values = _gated(values)
    return Suite(name=name, **(values | {"not_gating": values["not_gating"] or ""}))


def _need(shape: str | dict[str, str]) -> Need:
    if isinstance(shape, str):
        return Need(name=shape)
    ((name, version),) = shape.items()
    return Need(name=name, version=version)


def _rule(index: int, shape: RuleShape, document: Document) -> Rule:
    where = document.where(["rules", index])
    given = _given(shape) | {"repositories": _repositories(shape.repositories)}
    return Rule(**_gated(given), reason=shape.reason or "", where=where)


def _repositories(
    shapes: Sequence[str | OwnRepositoryShape],
) -> tuple[str | Repository, ...]:
    return tuple(s if isinstance(s, str) else _repository(s) for s in shapes)


def _repository(shape: OwnRepositoryShape) -> Repository:
    name, _, key = (shape.key or "").partition("\n")
    return Repository(url=shape.url, paths=shape.paths or (), key=key, key_file=name)


def _given(shape: Shape) -> dict[str, Any]:
    """What was written, by its keys."""
    return {key: getattr(shape, key) for key in shape.model_fields_set}


def _gated(values: dict[str, Any]) -> dict[str, Any]:
    """The same with `not_gating` for `gating` and its `reason`."""
    rest = {key: value for key, value in values.items() if key not in ("gating", "reason")}
    gating = values.get("gating")
    said = None if gating is None else "" if gating else values["reason"]
    return rest | {"not_gating": said}


def _lapsed(rules: Sequence[Rule], today: date) -> list[str]:
    return [
        f"{rule.where}: the rule lapsed on {rule.until} ({quoted(rule.reason)}); "
        "see whether the failure is still there, then renew or remove it"
        for rule in rules
        if rule.until is not None and today > rule.until
    ]
