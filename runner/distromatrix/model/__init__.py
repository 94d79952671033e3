"""The words of distromatrix as plain, frozen data. No behaviour beyond what follows from it.

Durations are in seconds, sizes in bytes, points in time in seconds since the epoch (UTC),
unless a field says otherwise.
"""

from distromatrix.model.distro import (
    Archive,
    Bootstrap,
    BootstrapTool,
    Containerfile,
    Distro,
    Family,
    Guest,
    ImageSource,
    Libc,
    PackageManagerName,
    ProviderName,
    Pull,
    Repository,
)
from distromatrix.model.facts import Evidence, Facts, Reason
from distromatrix.model.matrix import (
    RETRIES,
    AccelWanted,
    CellSet,
    Expectation,
    FailureKind,
    HostFacts,
    HostOrNone,
    MachineLimits,
    Matrix,
    Need,
    Prepare,
    Product,
    ReportKind,
    Rule,
    Selection,
    Suite,
    SuiteSettings,
    Variant,
    fields_of,
)
from distromatrix.model.plan import REPEATS, SEEDS, SHARDS, Cell, Excluded, Plan, Shard
from distromatrix.model.result import (
    BAD,
    GREEN,
    RAN,
    RED,
    Blame,
    Case,
    CaseCounts,
    CaseNeeds,
    CaseStatus,
    CellResult,
    CellRun,
    Exported,
    Fallback,
    Flaky,
    ImageUsed,
    Kept,
    Outcome,
    Phase,
    Rerun,
    RunResult,
    Unmatched,
    Verdict,
)
