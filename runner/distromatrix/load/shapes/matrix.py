"""What a matrix file looks like, as types: decoding and the editors' JSON Schema come from here. A
shape is what a user wrote, no more: `defaults:` are not applied."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import MinLen
from pydantic import AfterValidator, Field, Tag, model_validator

from distromatrix.load.shapes.base import Shape
from distromatrix.load.shapes.caches import Caches
from distromatrix.load.shapes.expect_fields import CaseGlobs, FailureKinds, Reason, Statuses
from distromatrix.load.shapes.fields import (
    Constraint,
    Cpus,
    Day,
    DistroGlob,
    Duration,
    EnvName,
    EnvValue,
    Flag,
    Name,
    NeedName,
    PackageOrFile,
    Pids,
    Privilege,
    ReadGlob,
    RetryFailed,
    Script,
    Shell,
    Size,
    SuiteGlob,
    Text,
    User,
    VariantGlob,
    wrong,
)
from distromatrix.load.shapes.host_fields import (
    CaBundle,
    ProductFolder,
    RunnerKey,
    RunnerLabels,
)
from distromatrix.load.shapes.imports import IMPORTS_SCHEMA
from distromatrix.load.shapes.repositories import Repositories
from distromatrix.load.shapes.scripts import PrepareShape, SetupShape, text_or_mapping
from distromatrix.load.shapes.which import ChosenGlob, KnownTag, SkipStatus, TagName
from distromatrix.model import (
    HostOrNone,
    ReportKind,
)
from distromatrix.plan.needs import NEEDS, meetable


def check_reason(shape: Shape, gating: bool | None, goes_with: str = "`gating: false`") -> None:
    """See that whoever says that cells do not count says why. Raises PydanticCustomError."""
    given = getattr(shape, "reason", None)
    if gating is False and not given:
        raise wrong("`gating: false` wants a `reason`", at="gating")
    if gating is not False and given:
        raise wrong(f"`reason` goes with {goes_with} only", at="reason")


class ProductShape(Shape):
    """What is tested."""

    path: ProductFolder
    """Its folder, from the project's root."""
    git: Flag = False
    """`.git` comes along (setuptools_scm needs it)."""


def _one_need(value: dict[str, str]) -> dict[str, str]:
    if len(value) != 1:
        raise wrong("expected one need with its version, such as `own-kernel: '>=6.1'`")
    for name in value:
        if not NEEDS[name].versioned:
            raise wrong(f"the need `{name}` takes no version", f"write `- {name}`", at=name)
    return value


NeedShape = Annotated[
    Annotated[NeedName, Tag("<text>")]
    | Annotated[dict[NeedName, Constraint], AfterValidator(_one_need), Tag("<mapping>")],
    text_or_mapping("a need, or a need with its version"),
]


def _some_engine(value: tuple[str | dict[str, str], ...]) -> tuple[str | dict[str, str], ...]:
    names = [name for one in value for name in ([one] if isinstance(one, str) else one)]
    if not meetable(names):
        raise wrong(
            f"no engine can meet {', '.join(f'`{name}`' for name in names)} at once",
            "make suites of their own of what takes different machines",
        )
    return value


class SuiteOptions(Shape):
    """What a suite needs, all of it optional."""

    packages: tuple[PackageOrFile, ...] = ()
    """Packages to install, by common or native name; or by what they hold: `pkgconfig(zlib)`,
    `cmake(fmt)`, `lib(onig)`, `header(zlib.h)`, `command(bison)`, looked up in each distro's own
    index, with a `?` behind it only where there is one; or files of the product that its build
    has made, whether git knows them or not (`./dist/*.deb`, `.rpm`, `.apk`, `.pkg.tar.zst`): each
    distro takes its own, in the cell, before `setup`."""
    upgrade: Flag = False
    """Package files are installed over the version that the distribution has."""
    remove: Flag = False
    """Package files are removed after `run`, with their settings; the log says what stayed
    behind."""
    repositories: Repositories = ()
    """Where packages may come from beside the image's own repositories: names that distros know
    (`epel`, `backports`; on a distro that does not know a name it changes nothing), or
    repositories of your own."""
    prepare: (
        Annotated[
            Annotated[Script, Tag("<text>")] | Annotated[PrepareShape, Tag("<mapping>")],
            text_or_mapping("a shell command, or a mapping with `run` and `files`"),
        ]
        | None
    ) = None
    """Runs once per image, without the product, and is cached."""
    setup: (
        Annotated[
            Annotated[Script, Tag("<text>")] | Annotated[SetupShape, Tag("<mapping>")],
            text_or_mapping("a shell command, or a mapping with `in` and `run`"),
        ]
        | None
    ) = None
    """Runs in every cell before the suite, with the product."""
    restore: Script | None = None
    """Always runs, after the suite and its setup, unless a timeout has ended the machine."""
    debug: Script | None = None
    """Runs after a failure that was not expected, before restore; its output is in the report."""
    shell: Shell = "sh"
    """The shell of its scripts: a name or a path of sh, dash, ash, bash, ksh, mksh or zsh, called
    with -e, the last four with -o pipefail too (default sh)."""
    timeout: Duration | None = None
    """The longest that setup or run may take (default 30m)."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables."""
    reads: tuple[ReadGlob, ...] = ()
    """Globs of the product's files that it reads, beside those of `prepare`: with `--changed` it
    is left out where a change touches none of them (default: everything)."""
    caches: Caches = {}
    """Folders that are kept from one run to the next, for cells of the same distro, architecture
    and user, and for `prepare`: names of known ones, or names with folders (`~` is the user's
    home)."""
    needs: Annotated[tuple[NeedShape, ...], AfterValidator(_some_engine)] = ()
    """Capabilities that not every machine has."""
    privileges: tuple[Privilege, ...] = ()
    """What a container may be given for this suite."""
    cases: Flag = False
    """`run` can run single cases: those named in the file `$DISTROMATRIX_CASES`."""
    report: ReportKind = "junit"
    """How it reports its cases: `junit`, in files at `$DISTROMATRIX_JUNIT` or below
    `$DISTROMATRIX_JUNIT_DIR`; `tap`: on its standard output, too, in TAP 12, 13 or 14."""
    retry_failed: RetryFailed = 0
    """How often a cell that failed is run again, each time in a fresh machine; what then passes
    is flaky. Never after a timeout or out of memory, and not with `--repeat`."""
    user: User = "root"
    """Who runs it: `root`, a user's name (made in the image where it is not there) or a numeric
    `UID:GID`."""
    cpus: Cpus | None = None
    """CPUs it may use (default 1)."""
    memory: Size | None = None
    """Memory it may use (default 2G)."""
    disk: Size | None = None
    """What it may write to its machine's disk (default 10G)."""
    pids: Pids | None = None
    """Processes and threads that it may have at once (default 1024)."""
    network: Flag = True
    """Whether the suite has a network."""
    distros: Annotated[tuple[ChosenGlob, ...], MinLen(1)] = ("*",)
    """Which of the matrix's distros it runs on, by name or glob (default: all)."""
    tags: tuple[TagName, ...] = ()
    """Names to choose its cells by: `run --tag NAME`, sets, `pytest -m NAME`."""
    gating: Flag = True
    """`false`, with a `reason`: its cells are run and shown, and do not count for the run's
    verdict."""
    reason: Text | None = None
    """Why its cells do not count."""
    skip_status: SkipStatus | None = None
    """With this exit status (77 by convention) `run` says that there was nothing to test; the last
    line that it prints is the reason."""

    @model_validator(mode="after")
    def _with_reason(self) -> Self:
        check_reason(self, self.gating)
        return self


class SuiteShape(SuiteOptions):
    """A named command that tests the product."""

    run: Script
    """The command; its exit status says whether the suite passed."""


class VariantShape(Shape):
    """A named set of environment variables and packages that multiplies suites."""

    suites: Annotated[tuple[SuiteGlob, ...], MinLen(1)] = ("*",)
    """The suites it multiplies, by name or glob (default: all)."""
    distros: Annotated[tuple[ChosenGlob, ...], MinLen(1)] = ("*",)
    """The distros on which it does so, by name or glob (default: all). Where a suite has none of
    its variants, it has one cell without a variant."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables."""
    packages: tuple[PackageOrFile, ...] = ()
    """Packages to install, by common or native name."""
    tags: tuple[TagName, ...] = ()
    """Names to choose its cells by, beside those of the suite."""
    gating: Flag | None = None
    """Whether its cells count for the run's verdict (default: what the suite says); `false` with
    a `reason`."""
    reason: Text | None = None
    """Why its cells do not count."""

    @model_validator(mode="after")
    def _with_reason(self) -> VariantShape:
        check_reason(self, self.gating)
        return self


class RuleShape(Shape):
    """What holds for the cells that its globs match. Of `skip` and of `expect` without `cases`,
    and of `gating`, the first match counts; additions, and `expect` with `cases`, add up."""

    distro: DistroGlob = "*"
    """The distros it is for."""
    suite: SuiteGlob = "*"
    """The suites it is for."""
    variant: VariantGlob | None = None
    """The variants it is for (default: all, and cells without one)."""
    skip: Text | None = None
    """Do not run these cells; the reason."""
    expect: Literal["fail"] | None = None
    """These cells are expected to fail; passing is then a failure."""
    cases: CaseGlobs = ()
    """The cases that are expected to fail, by globs over their names as reports show them
    (`classname::name`): exactly these, and each of them. Any other failure is one."""
    phase: FailureKinds = ("run",)
    """What is expected to fail where no `cases` are named, one or several: `setup`, `run` (its
    command or its cases; the default), `timeout`, `memory` or `report` (it is not there, or
    holds no case)."""
    expect_status: Statuses = ()
    """The exit status that is expected, one or several (default: any; with `cases` any below
    126, as a crash is no failing case)."""
    reason: Reason | None = None
    """Why they are expected to fail, or do not count."""
    until: Day | None = None
    """The last day on which the rule holds."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables added."""
    packages: tuple[PackageOrFile, ...] = ()
    """Packages added."""
    repositories: Repositories = ()
    """Repositories added."""
    setup: Script | None = None
    """A command added, before the suite's own setup."""
    retry_failed: RetryFailed | None = None
    """How often these cells are run again where they failed, instead of what their suite says."""

    tags: tuple[TagName, ...] = ()
    """Tags added."""
    gating: Flag | None = None
    """`false`, with a `reason`: these cells are run and shown, and do not count for the run's
    verdict. `true`: they count, whatever their suite says."""

    @model_validator(mode="after")
    def _sensible(self) -> RuleShape:
        if self.skip and self.expect:
            raise wrong(
                "`skip` and `expect` in one rule; a skipped cell has no outcome", at="expect"
            )
        if self.expect and not self.reason:
            raise wrong("`expect: fail` wants a `reason`", at="expect")
        if self.skip and self.gating is not None:
            raise wrong("`skip` and `gating` in one rule; a skipped cell never counts", at="gating")
        if not self.expect:
            check_reason(self, self.gating, "`expect: fail` or `gating: false`")
        if self.until and not self.expect and self.gating is not False:
            raise wrong("`until` goes with `expect: fail` or `gating: false` only", at="until")
        for key in ("cases", "phase", "expect_status"):
            if key in self.model_fields_set and not self.expect:
                raise wrong(f"`{key}` goes with `expect: fail` only", at=key)
        if self.cases and "phase" in self.model_fields_set:
            hint = "make it a rule of its own for what fails beside these cases"
            raise wrong("`phase` goes without `cases`, which fail in `run`", hint, at="phase")
        if self.expect_status and not {"setup", "run"} & set(self.phase):
            raise wrong(
                "`expect_status` is that of `setup` or `run`, which `phase` leaves out",
                at="expect_status",
            )
        added = bool(self.env or self.packages or self.repositories or self.setup)
        added = added or self.retry_failed is not None
        if not (self.skip or self.expect or added or self.tags or self.gating is not None):
            what = (
                "`skip`, `expect`, `gating`, `tags`, `env`, `packages`, `repositories`, `setup` or "
                "`retry_failed`"
            )
            raise wrong("the rule does nothing", f"give it {what}")
        return self


class SetShape(Shape):
    """A name for some of the cells: those with the tags, on the distros."""

    tags: tuple[KnownTag, ...] = ()
    """One of these tags, and none that is written `"!tag"` (default: any or none)."""
    distros: Annotated[tuple[ChosenGlob, ...], MinLen(1)] = ("*",)
    """On these of the matrix's distros, by name or glob (default: all)."""

    @model_validator(mode="after")
    def _says_something(self) -> SetShape:
        if not self.tags and "distros" not in self.model_fields_set:
            raise wrong("the set says nothing", "give it `tags` or `distros`")
        return self


class MatrixShape(Shape):
    """Distros × suites × variants, with rules."""

    product: Annotated[
        Annotated[ProductFolder, Tag("<text>")] | Annotated[ProductShape, Tag("<mapping>")],
        text_or_mapping("a folder, or a mapping with `path` and `git`"),
    ] = Field(default=".", validate_default=True)
    """What is tested: a folder from the project's root, the parent of `matrix/`."""
    distros: Annotated[tuple[DistroGlob, ...], MinLen(1)]
    """Names or globs of the distros to test on."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables of every cell."""
    pass_env: tuple[EnvName, ...] = ()
    """Variables taken from the caller's environment; masked in every log and report."""
    ca_bundle: CaBundle = "none"
    """CA certificates for the cells: `host`, `none` or a file."""
    index: HostOrNone = "none"
    """`host`: cells get the host's package index and proxy settings."""
    runners: dict[RunnerKey, RunnerLabels] = {}
    """Labels of CI's runners for the jobs of `plan --format github`, by engine (`qemu`),
    architecture (`aarch64`) or both (`qemu/aarch64`); the most specific counts (default:
    GitHub's own, `ubuntu-latest` and `ubuntu-24.04-arm`)."""
    defaults: SuiteOptions = SuiteOptions()
    """Values for every suite that does not set its own; `env` is merged."""
    suites: Annotated[dict[Name, SuiteShape], MinLen(1)] = Field(
        json_schema_extra={"properties": {"import": IMPORTS_SCHEMA}}
    )
    """The suites, by name. `import` is no suite: it names folders of the product, such as
    `debian/tests`, whose tests become suites at each run; in a mapping `PREFIX: FOLDER` they are
    called PREFIX-NAME."""
    variants: dict[Name, VariantShape] = {}
    """The variants, by name."""
    rules: tuple[RuleShape, ...] = ()
    """Exceptions and additions."""
    sets: dict[Name, SetShape] = {}
    """Names for some of the cells: `run --set NAME`."""
