"""Mends what `examine` found missing, on Debian and Ubuntu; elsewhere says what to type."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from distromatrix.doctor.command import Run, Say, must, run_command
from distromatrix.doctor.guests_fix import PROOF
from distromatrix.doctor.host import Host, look_at_host
from distromatrix.doctor.model import Check
from distromatrix.doctor.start import start_engine
from distromatrix.errors import InfrastructureError

MendGuests = Callable[[Iterable[Check], Host, Run, Say], None]


def fix(
    checks: Iterable[Check],
    *,
    ask: Callable[[str], bool],
    say: Say,
    run: Run = run_command,
    host: Host | None = None,
    start: Callable[[Iterable[str], Run, Say], None] = start_engine,
    guests: MendGuests | None = None,
) -> bool:
    """Mend what can be mended; True when something was done, so that it pays to examine again.

    Says beforehand what will be done, and asks. Raises InfrastructureError where it cannot be
    done here (with the commands to type), and where a command fails (with its last lines).
    """
    host = host or look_at_host()
    checks = tuple(check for check in checks if check.status != "ok")
    wanted = tuple(c for c in checks if c.install or c.commands or c.start or c.let_in or c.prove)
    if not wanted:
        return False
    commands = _commands(wanted, host)
    _refuse_where_we_cannot(host, commands)
    say(f"To mend this on {host.title}, doctor will run:")
    for command in commands:
        say(f"  {command}")
    if not ask("Do this?"):
        return False
    _install(wanted, host, run, say)
    for command in _own_commands(wanted):
        must(command, run, say)
    if any(check.start for check in wanted):
        start(host.start(), run, say)
    if any(check.let_in for check in wanted):
        must(host.let_in()[0], run, say)
        say("The group counts from your next login on; until then: sg docker -c 'COMMAND'")
    if guests:
        guests(wanted, host, run, say)
    return True


def _commands(wanted: tuple[Check, ...], host: Host) -> tuple[str, ...]:
    """All that will be run, in order, as one can type it."""
    names = _packages(wanted, host)
    install: tuple[str, ...] = ()
    if names and host.family:
        plain = " ".join(name for name in names if not name.endswith("?"))
        lines = (host.family.refresh, f"{host.family.install} {plain}")
        install = tuple(host.as_root(line) for line in lines if line)
        if perhaps := [name.rstrip("?") for name in names if name.endswith("?")]:
            install += (f"(and where the distribution has them: {' '.join(perhaps)})",)
    start = host.start()[:1] if any(check.start for check in wanted) else ()
    let_in = host.let_in() if any(check.let_in for check in wanted) else ()
    proof = (PROOF,) if any(check.prove for check in wanted) else ()
    return (*install, *_own_commands(wanted), *start, *let_in, *proof)


def _own_commands(wanted: tuple[Check, ...]) -> tuple[str, ...]:
    return tuple(command for check in wanted for command in check.commands)


def _packages(wanted: tuple[Check, ...], host: Host) -> tuple[str, ...]:
    names = (name for c in wanted if c.install for name in host.packages(c.install))
    return tuple(dict.fromkeys(names))


def _refuse_where_we_cannot(host: Host, commands: tuple[str, ...]) -> None:
    typed = "\n".join(f"  {command}" for command in commands)
    if host.family is None:
        raise InfrastructureError(
            f"doctor does not know how {host.title} installs things: install and start Docker "
            "or Podman by its own documentation, then run `distromatrix doctor`",
            transient=False,
        )
    if not host.family.fix:
        raise InfrastructureError(
            f"doctor mends Debian and Ubuntu only; on {host.title} type:\n{typed}", transient=False
        )
    if not host.root and not host.sudo:
        plain = typed.replace("  sudo ", "  ")
        raise InfrastructureError(
            f"mending needs root, and there is no sudo; as root type:\n{plain}", transient=False
        )


def _install(wanted: tuple[Check, ...], host: Host, run: Run, say: Say) -> None:
    names = _packages(wanted, host)
    if not names or host.family is None:
        return
    if host.family.refresh:
        must(host.as_root(host.family.refresh), run, say)
    here = [name.rstrip("?") for name in names if not name.endswith("?") or _known(name, host, run)]
    if here:
        must(host.as_root(f"{host.family.install} {' '.join(here)}"), run, say)


def _known(name: str, host: Host, run: Run) -> bool:
    known = host.family.known if host.family else ""
    return bool(known) and run(f"{known} {name.rstrip('?')}").status == 0
