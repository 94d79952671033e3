"""`distromatrix cluster`: what a cluster's workers are, and `run` on them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from distromatrix.cli.options import options, said, settings_here
from distromatrix.cli.output import echo, echo_json
from distromatrix.errors import EXIT_INFRASTRUCTURE, EXIT_OK, InputError
from distromatrix.wording import counted

if TYPE_CHECKING:
    from distromatrix.cluster.connection import Cluster
    from distromatrix.engines import Engines
    from distromatrix.load.settings import Settings
    from distromatrix.project.host import HostSeen

_GB = 10**9
_HERE = "`--cluster ''` runs them on this host"
# What a run on a cluster cannot do, and why.
_LOCAL = {
    "keep": "--keep: machines on other hosts cannot be entered from here; `--export failed` brings "
    "them as files",
    "plan_path": "--plan: a shard of a plan is one host's part of a run, and a cluster shares a "
    "run out by itself",
    "engine": "--engine: each host of a cluster has its own, by its own settings",
    "jobs": "--jobs: each host of a cluster runs as many cells at once as its worker has threads",
}


def opened(settings: Settings, stack: ExitStack) -> Cluster | None:
    """The cluster that the settings name, until the stack is left; None where they name none.
    Raises InputError, EngineUnavailableError."""
    if not settings.cluster:
        return None
    from distromatrix.cluster.connection import cluster_of

    def warn(text: str) -> None:
        echo(f"warning: {text}", err=True)

    return stack.enter_context(cluster_of(settings, warn))


def engines_for(cluster: Cluster | None, settings: Settings, stack: ExitStack) -> Engines:
    """What opens machines for a run. Raises EngineUnavailableError."""
    if cluster is None:
        from distromatrix.project.session import opened_engines

        return stack.enter_context(opened_engines(settings))
    from distromatrix.cluster.team import engines_of

    return engines_of(cluster)


def refuse_local(settings: Settings, asked: Mapping[str, object]) -> None:
    """See that nothing is `asked` for, by the names of options, that is of one host alone. Raises
    InputError."""
    for name, why in _LOCAL.items() if settings.cluster else ():
        if (asked[name] if name in asked else said(name)) not in (None, "never"):
            raise InputError(f"{why}. Cells run on the cluster {settings.cluster}; {_HERE}")


@click.group(name="cluster")
def command() -> None:
    """Run cells on several hosts, by Dask.

    A worker is a plain `dask worker` on a host with distromatrix and a container engine;
    docs/cluster.md sets one up, with certificates.

    \b
    Examples:
      distromatrix cluster check tls://192.0.2.1:8786
      distromatrix run --cluster tls://192.0.2.1:8786

    \b
    What they need:
      dask scheduler --host tls://192.0.2.1             on one host
      dask worker tls://192.0.2.1:8786 --nthreads 8     on each host
    """


@command.command()
@click.argument("address", required=False)
@options("insecure_cluster", "as_json")
def check(address: str | None, as_json: bool) -> int:
    """Check what each worker of a cluster can run.

    ADDRESS as of `run --cluster`, which is the default. Exits with 69 where there is no worker, or
    one cannot run cells.

    \b
    Examples:
      distromatrix cluster check tls://192.0.2.1:8786
      distromatrix cluster check scheduler.json --json
    """
    from distromatrix.cluster.connection import opened_cluster
    from distromatrix.load.catalogue import Catalogue

    settings = settings_here()
    if not (where := address or settings.cluster):
        raise InputError("name a cluster: `distromatrix cluster check ADDRESS`")
    with opened_cluster(where, insecure=settings.insecure_cluster) as cluster:
        hosts = sorted(cluster.hosts.known.values(), key=lambda host: (host.name, host.address))
        if as_json:
            echo_json([_plain(host) for host in hosts])
        elif hosts:
            known = set(Catalogue.read(None, ()).names)
            for host in hosts:
                for line in _lines(host, known):
                    echo(line)
            fit = sum(not host.fault for host in hosts)
            echo(f"{fit} of {counted(len(hosts), 'worker')} can run cells")
        if not hosts:
            cluster.hosts.require()
    return EXIT_INFRASTRUCTURE if any(host.fault for host in hosts) else EXIT_OK


def _plain(host: HostSeen) -> dict[str, Any]:
    return {"address": host.address, "fault": host.fault, **host.said}


def _lines(host: HostSeen, known: Container[str]) -> list[str]:
    """What is said of a worker. `known`: the names of the catalogue's distros."""
    said = host.said
    lines = [f"{host.name}  {host.address}"]
    if said:
        lines.append(
            f"  distromatrix {said['version']}, Python {said['python']}, {said['arch']}, "
            f"Linux {said.get('kernel') or 'unknown'}"
        )
    if said.get("engine"):
        cpus, memory = host.resources["cpus"] // 1000, host.resources["memory"] / 1024
        lines.append(f"  engine  {said['engine']}: {cpus:g} cpus, {memory:,.1f} GiB of memory")
        if "free" in said:
            lines.append(f"  disk    {said['free'] / _GB:,.0f} GB free where caches are")
        ready = [name for name in said["ready"] if name in known]
        lines.append(f"  images  {', '.join(ready) or 'none yet'}")
        for name, why in said["guests"].items():
            lines.append(f"  {name:7} {why or 'ready'}")
        lines.append(f"  KVM     {said['kvm'] or 'ready, a guest has run with it'}")
        if said["threads"] < cpus:
            lines.append(
                f"  warning: {counted(said['threads'], 'thread')} for {cpus:g} cpus, so that fewer "
                f"cells run at once: start it with `--nthreads {cpus:g}`"
            )
    lines.append(f"  cannot run cells: {host.fault}" if host.fault else "  can run cells")
    return lines
