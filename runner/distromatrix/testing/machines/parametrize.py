"""Which distros a test runs on: its parameters, as pytest collects it.

What says so, the first that does: `--hosts` or `testinfra_hosts`, for a test that uses
testinfra's `host`, whose machine is then its `machine` too; the mark `distros`; else all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import pytest

from distromatrix.errors import DistromatrixError, InputError
from distromatrix.model import Distro, Family, Libc, Need, PackageManagerName
from distromatrix.plan.needs import NEEDS
from distromatrix.testing import SCHEME
from distromatrix.testing.machines.hooks import MARK, machine_tests
from distromatrix.testing.names import HOST, WANT

if TYPE_CHECKING:
    from distromatrix.testing.contract import MachineRequest
    from distromatrix.testing.scope import Scope

NEEDS_MARK = "needs"

_CRITERIA: dict[str, tuple[str, ...]] = {
    "family": get_args(Family),
    "libc": get_args(Libc),
    "package_manager": get_args(PackageManagerName),
}


def choosing(metafunc: pytest.Metafunc) -> Generator[None, None, None]:
    """Around the parametrization of a test that uses a machine, or testinfra's `host`."""
    try:
        yield from _choosing(metafunc)
    except DistromatrixError as error:
        from distromatrix.testing.cells.outcomes import harmless

        where = metafunc.definition.nodeid
        raise pytest.Collector.CollectError(harmless(f"{where}: {error}")) from None


def _choosing(metafunc: pytest.Metafunc) -> Generator[None, None, None]:
    uses = WANT in metafunc.fixturenames
    mark = metafunc.definition.get_closest_marker(MARK)
    if HOST not in metafunc.fixturenames:
        _parametrize(metafunc, _wanted(metafunc, mark))
        yield
        return
    specs = _hosts(metafunc)
    ours = [spec for spec in specs or () if _is_ours(metafunc.config, spec)]
    if specs is None and (mark or uses):
        wants = _wanted(metafunc, mark)
        yield from _with_hosts(metafunc, lambda _: [_host(metafunc, want) for want in wants])
    elif ours:
        if uses and (other := [spec for spec in specs or () if spec not in ours]):
            raise InputError(
                f"its host {other[0]} is not a distromatrix host, so it has no machine: "
                "do not use `machine` and `distro` there, or give the module its own hosts"
            )
        yield from _with_hosts(metafunc, lambda hosts: _marked(metafunc, mark, hosts))
    elif uses:
        raise InputError(
            f"its host is {', '.join(specs or ())}, which has no machine: use `machine.host`, "
            f'or testinfra_hosts = ["{SCHEME}://*"]'
        )
    else:
        yield


def _hosts(metafunc: pytest.Metafunc) -> list[str] | None:
    """What testinfra is told of hosts, where it is told of any."""
    if metafunc.config.getoption("hosts", None) is not None:
        return str(metafunc.config.getoption("hosts")).split(",")
    found = getattr(metafunc.module, "testinfra_hosts", None)
    return None if found is None else list(found)


def check_hosts(config: pytest.Config) -> None:
    """See that what `--hosts` names is there, before anything is collected. Raises
    UsageError."""
    from testinfra.backend import get_backend_class, parse_hostspec

    from distromatrix.testing.cells.outcomes import harmless

    for spec in str(config.getoption("hosts")).split(","):
        if _is_ours(config, spec):
            try:
                host, parameters = parse_hostspec(spec)
                get_backend_class(SCHEME).get_hosts(host, **parameters)
                machine_tests(config).scope()
            except DistromatrixError as error:
                raise pytest.UsageError(harmless(f"--hosts: {error}")) from None


def _is_ours(config: pytest.Config, spec: str | None) -> bool:
    if spec is not None and "://" in spec:
        return spec.startswith(f"{SCHEME}://")
    return spec is not None and config.getoption("connection", None) == SCHEME


# --- what is wanted ------------------------------------------------------------------------


def _wanted(metafunc: pytest.Metafunc, mark: pytest.Mark | None) -> tuple[MachineRequest, ...]:
    tests = machine_tests(metafunc.config)
    needs = _needs(metafunc)
    if mark is None:
        return tests.unless_faulty(
            lambda: _meeting(tests.scope(), tests.scope().wants(["*"]), needs)
        )
    globs, criteria, suite = _read(mark)

    def wanted() -> tuple[MachineRequest, ...]:
        scope = tests.scope()
        more = [d for key, values in criteria.items() for d in _by(key, values, scope.distros)]
        try:
            wants = scope.wants(globs or (() if criteria else ("*",)), suite, more)
        except InputError as error:
            raise InputError(f"@pytest.mark.{MARK}: {error}") from None
        return _meeting(scope, wants, needs)

    return tests.unless_faulty(wanted)


def _meeting(
    scope: Scope, wants: tuple[MachineRequest, ...], needs: tuple[Need, ...]
) -> tuple[MachineRequest, ...]:
    """Those machines, of engines that give what the test needs."""
    return tuple(scope.meeting(want, needs) for want in wants) if needs else wants


def _needs(metafunc: pytest.Metafunc) -> tuple[Need, ...]:
    """What the marks `needs` of a test name. Raises InputError."""
    if not any(True for _ in metafunc.definition.iter_markers(NEEDS_MARK)):
        return ()
    from distromatrix.execute.cell.fallback import need_of
    from distromatrix.load.shapes.fields import is_constraint

    found: dict[Need, None] = {}
    for mark in metafunc.definition.iter_markers(NEEDS_MARK):
        for text in mark.args:
            need = need_of(text) if isinstance(text, str) else None
            known = NEEDS.get(need.name) if need else None
            if need is None or known is None:
                from distromatrix.wording import did_you_mean, listing

                hint = did_you_mean(str(text), tuple(NEEDS)) or f"there are {listing(NEEDS)}"
                raise InputError(f"@pytest.mark.{NEEDS_MARK}: no need {text!r} ({hint})")
            if need.version and not (known.versioned and is_constraint(need.version)):
                raise InputError(
                    f"@pytest.mark.{NEEDS_MARK}: {text!r}: expected a version such as "
                    "'own-kernel >=6.1', where the need has one"
                )
            found[need] = None
    return tuple(found)


def _by(key: str, values: tuple[str, ...], distros: Iterable[Distro]) -> list[Distro]:
    known = _CRITERIA[key]
    found = [distro for distro in distros if getattr(distro, key) in values]
    for value in values:
        if value not in known:
            from distromatrix.wording import did_you_mean, listing, quoted

            hint = did_you_mean(value, known) or f"one of {listing(known)}"
            raise InputError(f"{key}={quoted(value)}: unknown value ({hint})")
    if not found:
        raise InputError(f"no distro of this session has {key}={' or '.join(values)}")
    return found


def _read(mark: pytest.Mark) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], str]:
    """The globs, criteria and suite of a mark. Raises InputError."""
    from distromatrix.wording import did_you_mean, listing, quoted

    known = (*_CRITERIA, "suite")
    for key in mark.kwargs:
        if key not in known:
            hint = did_you_mean(key, known) or f"there are {listing(known)}"
            raise InputError(f"@pytest.mark.{MARK} has no {quoted(key)} ({hint})")
    for glob in mark.args:
        if not isinstance(glob, str):
            raise InputError(f"@pytest.mark.{MARK} takes names and globs, not {glob!r}")
    suite = mark.kwargs.get("suite", "")
    if not isinstance(suite, str):
        raise InputError(f"@pytest.mark.{MARK}: suite= takes one suite, not {suite!r}")
    criteria = {key: _values(key, mark.kwargs[key]) for key in _CRITERIA if key in mark.kwargs}
    return mark.args, criteria, suite


def _values(key: str, given: object) -> tuple[str, ...]:
    values = (given,) if isinstance(given, str) else given
    if isinstance(values, (tuple, list, set, frozenset)) and values:
        texts = tuple(value for value in values if isinstance(value, str))
        if len(texts) == len(values):
            return texts
    raise InputError(f"@pytest.mark.{MARK}: {key}= takes a text or several, not {given!r}")


# --- parameters ----------------------------------------------------------------------------


def _parametrize(metafunc: pytest.Metafunc, wants: Sequence[MachineRequest]) -> None:
    params = [pytest.param(want, id=want.cell, marks=_facts(metafunc, want)) for want in wants]
    metafunc.parametrize(WANT, params, indirect=True, scope="module")


def _facts(metafunc: pytest.Metafunc, want: MachineRequest) -> list[pytest.MarkDecorator]:
    """The marks of its distro, as cells have them."""
    from distromatrix.testing.cells.outcomes import harmless

    distro = machine_tests(metafunc.config).scope().distro(want.distro)
    marks = [getattr(pytest.mark, name) for name in (distro.family, distro.libc)]
    if want.refused and metafunc.config.getoption("distromatrix_allow_unmet"):
        marks.append(pytest.mark.skip(reason=harmless(want.refused)))
    return marks


def _with_hosts(
    metafunc: pytest.Metafunc, chosen: Callable[[list[Any]], list[Any]]
) -> Generator[None, None, None]:
    """Let testinfra parametrize `host`, with the hosts that are `chosen` among its own; and
    have what else the test uses follow them, so that there is no product of both."""
    original = metafunc.parametrize

    def parametrize(argnames: Any, argvalues: Any, *args: Any, **named: Any) -> None:
        if argnames != HOST:
            original(argnames, argvalues, *args, **named)
            return
        hosts = chosen(list(argvalues))
        uses = WANT in metafunc.fixturenames
        params = [_param(metafunc, host, uses=uses) for host in hosts]
        names = (HOST, WANT) if uses else (HOST,)
        original(names, params, indirect=True, scope="module")

    metafunc.parametrize = parametrize  # type: ignore[method-assign]  # as long as hooks run
    try:
        yield
    finally:
        del metafunc.parametrize


def _param(metafunc: pytest.Metafunc, host: Any, *, uses: bool) -> Any:
    marks = []
    want: MachineRequest | None = None
    if isinstance(host, pytest.MarkDecorator):  # a skip, where none is left
        return pytest.param(*([None] * (1 + uses)), id="none", marks=host)
    if host.backend.NAME == SCHEME:
        want = host.backend.want
        marks = _facts(metafunc, want)
    values = (host, want) if uses else (host,)
    return pytest.param(*values, id=host.backend.get_pytest_id(), marks=marks)


def _marked(metafunc: pytest.Metafunc, mark: pytest.Mark | None, hosts: list[Any]) -> list[Any]:
    """Those of the hosts that the mark is for. Raises InputError where a module has none."""
    if needs := _needs(metafunc):
        _check_hosts_meet(metafunc, hosts, needs)
    if mark is None:
        return hosts
    if mark.kwargs.get("suite"):
        raise InputError(f"its hosts already name a suite, so @pytest.mark.{MARK} cannot")
    names = {want.distro for want in _wanted(metafunc, mark)}
    left = [h for h in hosts if h.backend.NAME != SCHEME or h.backend.want.distro in names]
    if left or not hosts:
        return left
    reason = f"none of its hosts is one that @pytest.mark.{MARK} is for"
    if metafunc.config.getoption("hosts", None) is None:
        raise InputError(reason)
    return [pytest.mark.skip(reason=reason)]


def _check_hosts_meet(metafunc: pytest.Metafunc, hosts: list[Any], needs: tuple[Need, ...]) -> None:
    """Hosts that were named are as they were named. Raises InputError where that is not what the
    test needs."""
    scope = machine_tests(metafunc.config).scope()
    for host in hosts:
        want = host.backend.want if host.backend.NAME == SCHEME else None
        if want is not None and (met := scope.meeting(want, needs)) != want:
            why = met.refused or (f"say ?engine={met.engine}" if met.engine else "no version")
            names = ", ".join(map(str, needs))
            raise InputError(f"its host {want} does not meet needs {names}: {why}")


def _host(metafunc: pytest.Metafunc, want: MachineRequest) -> Any:
    import testinfra

    options = {name: metafunc.config.getoption(name, None) for name in ("sudo", "sudo_user")}
    if want.engine or want.refused or want.versions:
        from distromatrix.testing.hosts import host_of

        return host_of(want, **options)
    suite = f"?suite={want.suite}" if want.suite else ""
    return testinfra.get_host(f"{SCHEME}://{want.distro}{suite}", **options)
