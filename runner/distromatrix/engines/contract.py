"""What an engine is, for everyone who uses one.

An `Engine` opens machines from images, keeps images, stages the product, and finds what dead
runs left behind. Docker is one; the fake one of the tests is another; guests come later. One
contract suite (`tests/contract`) holds all of them to what is written here.

All methods are safe to call from several threads. All of them raise
`EngineUnavailableError` when the engine does not answer (within `API_TIMEOUT` seconds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol

from distromatrix.engines.cache_store import Cache, CacheStore
from distromatrix.engines.image_store import ImageStore
from distromatrix.engines.layers import LayerStore, ProductSource
from distromatrix.model import Guest, Kept, MachineLimits

if TYPE_CHECKING:
    from distromatrix.engines.changes import Changes

API_TIMEOUT = 60.0

# Labels on everything we make. What carries LABEL_RUN belongs to the run whose folder
# LABEL_FOLDER names, on the host LABEL_HOST; it is alive as long as that folder's lock is held.
LABEL_RUN = "distromatrix.run"
LABEL_FOLDER = "distromatrix.folder"
LABEL_HOST = "distromatrix.host"
LABEL_CELL = "distromatrix.cell"
# Labels on images. `kind` is base | prepared.
LABEL_KIND = "distromatrix.kind"
LABEL_DISTRO = "distromatrix.distro"
LABEL_SOURCE = "distromatrix.source"

MOUNT = "/distromatrix"  # where in a machine what is ours lies
OUT_FOLDERS = ("artifacts", "junit")  # in Machine.out

# Debian's address for a machine's own name, where that has no other (hostname(1), hosts(5)).
OWN_ADDRESS = "127.0.1.1"

OnOutput = Callable[[bytes], None]
OnStep = Callable[[str], None]
LeftSignal = Literal["STOP", "CONT", "KILL"]


def quiet(_: str) -> None:
    """An OnStep for whom nobody listens to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What a plan, a scheduler and `doctor` want to know of an engine."""

    name: str  # docker
    product: str  # Docker | Podman
    version: str
    api_version: str
    cpus: int
    memory: int
    arch: str
    storage_driver: str
    cgroup_version: str
    rootless: bool
    local: bool  # its host is this host
    data_root: str  # its data folder on its own host, or ""

    def __str__(self) -> str:
        return f"{self.product} {self.version} (API {self.api_version})"


@dataclass(frozen=True, slots=True)
class Ready:
    """What makes a machine ready that does not begin from a prepared image. `key`: equal for what
    has the same effect. `apply` raises ImageError."""

    key: str
    apply: Callable[[Machine], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec(MachineLimits):
    """What to open. `name` is unique on the engine, of letters, digits, `-`, `_` and `.`,
    and begins with `distromatrix-`. `user` is `root` or `UID:GID` (numbers)."""

    name: str
    image: str  # an id or tag in the engine's image store
    labels: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    guest: Guest | None = None  # for engines of guests: what its distro says of them
    ready: Ready | None = None  # for guests that do not begin from an image
    # Told what its opening waits for, where that may take long, in a few words.
    on_step: OnStep = field(default=quiet, compare=False, repr=False)
    caches: tuple[Cache, ...] = ()  # of containers: guests get theirs as files
    has_product: bool = False  # in its image lies already what a stage would put there

    @property
    def host(self) -> str:
        """What it calls itself: 63 characters at most (gethostname(2), RFC 1035)."""
        return (self.hostname or self.name)[:63].rstrip("-.")


@dataclass(frozen=True, slots=True)
class Command:
    """What to run in a machine: `script`, by `sh -e` (`sh` where not `strict`), with stdin
    /dev/null, in a session of its own, with `env` added to the machine's variables.

    `errors` gets stderr and `output` stdout, as they come, from one thread; without `errors`,
    `output` gets both, merged in the order they were written. `timeout` is in seconds.
    """

    script: str
    _: KW_ONLY
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    timeout: float | None = None
    output: OnOutput | None = None
    errors: OnOutput | None = None
    strict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a command ended. `status` is that of the shell (128+n for a signal), or None when
    it was stopped by its timeout; then `hung` names the commands that were running, and
    `ended`: its machine had to be killed with it. `oom`: it failed and meanwhile the machine's
    memory limit killed a process in it."""

    status: int | None
    seconds: float
    hung: str = ""
    oom: bool = False
    ended: bool = False

    @property
    def timed_out(self) -> bool:
        """True when its timeout stopped it."""
        return self.status is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a machine is that somebody has open: enough for another process to run commands in
    it (`Engine.join`). `id` is the engine's own; `user` is `root` or `UID:GID`."""

    name: str
    id: str
    user: str = "root"
    product: str = ""
    out: str = ""
    memory: int = 2 * 1024**3
    # Variables that every command in it is to see; a command's own win.
    env: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""  # as a plan calls it; '' for that of containers
    boots: int = 0  # how often it was restarted: what was joined before no longer answers


class Machine(Protocol):
    """One opened container or guest. It needs POSIX sh and nothing else of ours."""

    name: str  # on the engine

    @property
    def address(self) -> Address:
        """Where other processes find it (`Engine.join`) as long as it is open here."""

    @property
    def scale(self) -> float:
        """How many times as long as elsewhere things may take in it: 1, but for guests under
        software emulation. A suite's timeout counts so many times."""

    @property
    def product(self) -> str:
        """Path in the machine of the private writable copy of the product ('' if none)."""

    @property
    def out(self) -> str:
        """Path in the machine of a folder, writable by its user, that holds the empty folders
        OUT_FOLDERS and what the suite leaves for us ('' if no product was staged)."""

    def run(self, command: Command) -> Exit:
        """Run it as the machine's user. Several threads may run commands at the same time (16
        run; more wait). After a timeout the command has been killed with all that descends from
        it; if that cannot be done, the whole machine (`Exit.ended`; `get` still works).

        Raises MachineGoneError (with `oom`) when the machine ends meanwhile, InfrastructureError
        when the command's own shell does, InputError for a NUL or a variable that cannot be
        exported.
        """

    def running(self) -> str:
        """What runs in it now, for a human: the commands that wait for no other first, at most
        three. '' where nothing does, or where that cannot be known within some seconds. Works
        while a command runs, from another thread, and does not disturb it; never raises."""

    def put(self, tar: bytes | BinaryIO, path: str) -> None:
        """Extract a tar stream below the folder `path` (which exists)."""

    def get(self, path: str) -> Iterable[bytes]:
        """A tar stream of `path`, its last segment as top-level name. Works on a killed
        machine. Raises FileNotFoundError. What comes is not to be trusted, and may break off
        at a file that is written to meanwhile."""

    def signal_left(self, signal: LeftSignal) -> bool:
        """Have all that commands have left running stop (STOP), go on (CONT; neither does anything
        in a guest) or end (KILL). For who opened it, while no command runs. What does not end
        takes the machine with it: whether the machine still answers. Never raises."""

    def disk_free(self) -> int | None:
        """Bytes left where its product or root lives; None when that cannot be known. Raises
        MachineGoneError, also where it is given up for that (`answer.ask`)."""

    def note_state(self) -> bool:
        """Take down what is in it, so that `changes` knows what is another then; of a container.
        Whether that can be done with the programs in its image."""

    def changes(self, folder: Path, most: int) -> Changes:
        """What has changed in it since `note_state`, its product included, but for what no disk
        holds, and not with what runs. It is kept on the disk of `folder`. Raises TooMuchError
        where it has more than `most` bytes, InfrastructureError, OSError."""

    def take(self, changes: Changes) -> None:
        """Change the same in it: a guest that is made of the container's image, or a container of
        it. Raises InfrastructureError."""

    def files(self) -> Iterator[Iterable[bytes]]:
        """All that is on its disk, its product included but not its caches: tar streams, one after
        the other, each of paths from /. Works on a killed machine. What comes is not to be
        trusted. Raises InfrastructureError, also while it is read."""

    def reboot(self) -> None:
        """Restart it; it is up again when this returns, with its files, and all that ran in it
        has ended. For those who opened it, not for those who joined it: these join it anew.
        Raises InfrastructureError, also where it is a container."""

    def disk_used(self) -> int | None:
        """Bytes of its engine's disk that it has come to hold since it was opened, seen from
        outside; None where that cannot be known. Works while a command runs; never raises."""

    def kill(self, why: str = "was stopped") -> None:
        """End every process in it at once; never raises. `get` still works. Whoever waits for a
        command is told `why`."""

    def keep(self) -> Kept:
        """Let it stay after the run, idle, as a kept machine; close() does nothing after."""

    def close(self) -> None:
        """Remove it and all that was made for it. May be called twice. Never raises: what
        could not be removed carries our labels and is found by `leftovers`."""


class Stage(Protocol):
    """The product, put once where the engine's machines can have private copies of it."""

    def close(self) -> None:
        """Remove it, unless kept machines stand on it. May be called twice; never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that carries our labels: a machine, or what one uses. `kept`: on purpose."""

    kind: str  # a machine (container, guest, …), or what they use: volume | layer | network | disk
    name: str
    run: str
    folder: str
    host: str
    kept: bool
    created: float
    size: int = 0  # bytes on this host's disk, of what is kept ready for others; else 0
    keeper: str = ""  # of a layer: the folder that says whether it is in use (LABEL_LAYER)

    @classmethod
    def labelled(
        cls, kind: str, name: str, labels: Mapping[str, str], *, kept: bool, created: float
    ) -> Leftover:
        """One that carries those labels, LABEL_RUN among them."""
        run, folder, host = (labels.get(key, "") for key in (LABEL_RUN, LABEL_FOLDER, LABEL_HOST))
        return cls(
            kind=kind, name=name, run=run, folder=folder, host=host, kept=kept, created=created
        )


class Engine(Protocol):
    """Opens machines."""

    @property
    def name(self) -> str:
        """The word for it in plans and reports: docker, fake, vagrant, …"""

    @property
    def images(self) -> ImageStore:
        """Its images."""

    @property
    def caches(self) -> CacheStore:
        """What is kept on it for machines; an engine of guests has that of containers."""

    def facts(self) -> EngineFacts:
        """What it is. Raises EngineUnavailableError with what to do about it."""

    def ping(self) -> None:
        """Nothing, if it answers. Raises EngineUnavailableError."""

    @property
    def layers(self) -> LayerStore | None:
        """What it keeps of products between runs; None where it can keep nothing."""

    def stage(self, product: ProductSource, *, image: str, labels: Mapping[str, str]) -> Stage:
        """Put the product's snapshot where machines can copy it from, if it has no keeper on this
        engine. `image` is any image with `sh`, for helpers."""

    def open(self, spec: MachineSpec, stage: Stage | None = None) -> Machine:
        """Open a machine, with a private copy of the staged product, owned by its user.
        Raises CannotStartError when that image cannot start, whatever one tries."""

    def join(self, address: Address) -> Machine:
        """A machine that another process has open, to run commands in it. Its `close` lets go
        and removes nothing, its `keep` raises; `kill` ends it for all. Raises
        MachineGoneError."""

    def enter(self, kept: Kept, env: Mapping[str, str]) -> int:
        """Give this process's terminal, or where its stdin is none, its stdin, to a new shell in
        a kept machine, with those variables, and wait for its end. Its status. Raises
        MachineGoneError, InfrastructureError."""

    def leftovers(self) -> tuple[Leftover, ...]:
        """All that carries our labels, of living runs too; the caller decides."""

    def remove(self, leftover: Leftover) -> None:
        """Remove it, by force. No error if it is gone already."""

    def close(self) -> None:
        """Let go of connections, and remove what networks it made for machines that are closed.
        Machines and stages stay as they are."""
