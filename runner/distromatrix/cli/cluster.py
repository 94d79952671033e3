"""`distromatrix cluster`: what a cluster's workers are, and `run` on them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from distromatrix.cli.options import options, said, settings_here
from distromatrix.cli.output import echo, echo_json
from distromatrix.errors import EXIT_INFRASTRUCTURE, EXIT_OK, InputError

if TYPE_CHECKING:
    from distromatrix.cluster.connection import Cluster
    from distromatrix.engines import Engines
    from distromatrix.load.settings import Settings
    from distromatrix.project.host import HostSeen

_GB = 10**9


def opened(settings: Settings, stack: ExitStack) -> Cluster | None:
    """The cluster that the settings name, until the stack is left; None where they name none.
    Raises InputError, EngineUnavailableError."""
    if not settings.cluster:
        return None
    from distromatrix.cluster.connection import opened_cluster

    cluster = stack.enter_context(
        opened_cluster(settings.cluster, insecure=bool(said("insecure_cluster")))
    )
    cluster.offline = settings.offline
    for host in cluster.hosts.values():
        if host.fault:
            echo(f"warning: no cell runs on {host.name}: {host.fault}", err=True)
    cluster.require_hosts()
    return cluster


def engines_for(cluster: Cluster | None, settings: Settings, stack: ExitStack) -> Engines:
    """What opens machines for a run. Raises EngineUnavailableError."""
    if cluster is None:
        from distromatrix.project.session import opened_engines

        return stack.enter_context(opened_engines(settings))
    from distromatrix.cluster.engines import engines_of

    return engines_of(cluster)


def refuse_keep(settings: Settings, keep: str) -> None:
    """See that nothing is asked for that is of one host alone. Raises InputError."""
    if settings.cluster and keep != "never":
        raise InputError(
            "--keep: machines on a cluster's hosts cannot be entered from here; "
            "`--export failed` brings them as files"
        )


@click.group(name="cluster")
def command() -> None:
    """Run cells on several hosts, by Dask.

    \b
    Examples:
      dask scheduler --host 192.0.2.1 …       (once)
      dask worker tls://192.0.2.1:8786 …      (on each host)
      distromatrix cluster check tls://192.0.2.1:8786
      distromatrix run --cluster tls://192.0.2.1:8786
    """


@command.command()
@click.argument("address", required=False)
@options("insecure_cluster", "as_json")
def check(address: str | None, as_json: bool) -> int:
    """Check what each worker of a cluster can run.

    ADDRESS as of `run --cluster`. Exits with 69 where a worker cannot run cells.
    """
    from distromatrix.cluster.connection import opened_cluster

    settings = settings_here()
    if not (where := address or settings.cluster):
        raise InputError("name a cluster: `distromatrix cluster check ADDRESS`")
    with opened_cluster(where, insecure=bool(said("insecure_cluster"))) as cluster:
        hosts = sorted(cluster.hosts.values(), key=lambda host: (host.name, host.address))
        if as_json:
            echo_json([_plain(host) for host in hosts])
        elif hosts:
            for host in hosts:
                for line in _lines(host):
                    echo(line)
        if not hosts:
            cluster.require_hosts()
    return EXIT_INFRASTRUCTURE if any(host.fault for host in hosts) else EXIT_OK


def _plain(host: HostSeen) -> dict[str, Any]:
    return {"address": host.address, "fault": host.fault, **host.said}


def _lines(host: HostSeen) -> list[str]:
    """What is said of a worker."""
    said = host.said
    lines = [f"{host.name}  {host.address}"]
    if said:
        lines.append(
            f"  distromatrix {said['version']}, Python {said['python']}, {said['arch']}, "
            f"Linux {said.get('kernel') or 'unknown'}"
        )
    if said.get("engine"):
        cpus, memory = host.resources["cpus"] // 1000, host.resources["memory"] / 1024
        lines.append(f"  {said['engine']}: {cpus:g} cpus, {memory:,.1f} GiB of memory")
        lines.append(f"  {said['free'] / _GB:,.0f} GB free for what is kept between runs")
        ready = ", ".join(said["ready"]) or "none"
        lines.append(f"  distributions with an image here: {ready}")
        for name, why in said["guests"].items():
            lines.append(f"  {name}: {why or 'there'}")
        lines.append(f"  KVM: {said['kvm'] or 'there'}")
        if said["threads"] < cpus:
            lines.append(
                f"  warning: has {said['threads']} threads for {cpus:g} cpus: start it with "
                f"`--nthreads {cpus:g}`"
            )
    lines.append(f"  cannot run cells: {host.fault}" if host.fault else "  ready")
    return lines
