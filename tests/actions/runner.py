"""Carries a reusable workflow out: its jobs in order of what they need, a matrix's at once."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from actions import files
from actions.expressions import Contexts, UnknownExpressionError, condition, fill, text_of

_WORKFLOW = {"name", "on", "permissions", "concurrency", "defaults", "jobs"}
_JOB = {"name", "needs", "if", "runs-on", "timeout-minutes", "permissions", "outputs", "strategy"}
_JOB |= {"steps"}
_STEP = {"name", "id", "if", "uses", "with", "env", "run", "shell", "working-directory"}
_COMMAND = re.compile(r"::([a-z0-9-]+)(?: (.*?))?::(.*)")
_DEADLINE = 300.0  # seconds, of one step
_AT_ONCE = 3  # jobs of one matrix


def load(path: Path) -> dict[str, Any]:
    """A workflow or an action out of its file."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    if True in found:  # YAML 1.1 takes `on` for it
        found["on"] = found.pop(True)
    assert isinstance(found, dict)
    return found


def only(found: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    """Refuse keys that this runner does not know: it would carry something else out."""
    assert not (more := set(found) - set(known)), f"{what} has {', '.join(more)}: not known here"


@dataclass(frozen=True)
class Annotation:
    """What a step showed at the checks: `::error file=…,title=…::message`."""

    kind: str
    properties: str
    message: str


@dataclass
class Step:
    """How a step went."""

    name: str
    outcome: str
    outputs: dict[str, str]
    script: str = ""
    possible: tuple[str, ...] = ()  # outputs that an action has
    log: str = ""

    def output(self, name: str) -> str:
        """An output; one that the step cannot have is an error, and so is one that it should
        have and has not: a script that ended well, and nowhere says `NAME=`."""
        if name in self.outputs:
            return self.outputs[name]
        if name in self.possible or f'"{name}=' in self.script:
            return ""
        if self.outcome != "success" and re.search(rf"\b{re.escape(name)}\b", self.script):
            return ""
        raise UnknownExpressionError(f"the step {self.name} sets no output {name}")


@dataclass
class Job:
    """How a job went. `annotations` are those of all its steps, in order."""

    id: str
    name: str
    result: str
    outputs: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    summary: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def step(self, name: str) -> Step:
        """The step of that name."""
        return next(s for s in self.steps if s.name == name)

    @property
    def log(self) -> str:
        return "\n".join(step.log for step in self.steps)


@dataclass
class Runner:
    """One call of a reusable workflow. `lost`: given a job's `matrix`, whether its machine dies
    in the step `Run`. `before`: called with each job's own temporary folder before it begins."""

    root: Path  # of this project
    workflow: Path
    storage: files.Storage
    inputs: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    lost: Callable[[Mapping[str, Any]], bool] = lambda _: False
    before: Callable[[Path], None] = lambda _: None
    attempt: int = 1
    base: str = ""  # of a pull request: the commit of its base branch
    environ: dict[str, str] = field(default_factory=files.environment)
    jobs: list[Job] = field(default_factory=list)

    def run(self) -> list[Job]:
        """All its jobs, in the order in which they ran."""
        said = load(self.workflow)
        only(said, _WORKFLOW, "the workflow")
        assert set(said["on"]) == {"workflow_call"}
        self.run_id = str(secrets.randbelow(10**9))
        values = self._values(said["on"]["workflow_call"])
        fill(said["concurrency"], Contexts(values))
        self.shell = said["defaults"]["run"]["shell"]
        for job_id, job in said["jobs"].items():
            only(job, _JOB, job_id)
            needed = job.get("needs", [])
            names = [needed] if isinstance(needed, str) else needed
            needs = {name: self._needed(name) for name in names}
            self._job(job_id, job, {**values, "needs": needs})
        return self.jobs

    def _values(self, call: Mapping[str, Any]) -> dict[str, Any]:
        declared = call["inputs"]
        only(self.inputs, declared, "the call")
        only(self.secrets, call["secrets"], "the call")
        types = {"string": str, "boolean": bool, "number": (int, float)}
        inputs = {name: self.inputs.get(name, how["default"]) for name, how in declared.items()}
        for name, value in inputs.items():
            assert isinstance(value, types[declared[name]["type"]]), name
        github: dict[str, Any] = {
            "workflow": "ci",
            "ref": "refs/pull/7/merge",
            "ref_name": "7/merge",
            "run_id": self.run_id,
            "run_attempt": str(self.attempt),
            "event_name": "pull_request" if self.base else "push",
            "base_ref": "main" if self.base else "",
            "event": {"repository": {"default_branch": "main"}},
        }
        if self.base:
            github["event"] |= {"pull_request": {"base": {"sha": self.base}}}
        given = {name: self.secrets.get(name, "") for name in call["secrets"]}
        return {"inputs": inputs, "github": github, "secrets": given}

    def _needed(self, job_id: str) -> dict[str, Any]:
        done = [job for job in self.jobs if job.id == job_id]
        assert done, f"{job_id} is needed, and is no job before this one"
        results = {job.result for job in done}
        worst = next(r for r in ("failure", "skipped", "success") if r in results)
        return {"result": worst, "outputs": done[-1].outputs}

    def _job(self, job_id: str, job: Mapping[str, Any], values: dict[str, Any]) -> None:
        results = {need["result"] for need in values["needs"].values()}
        status = "success" if results <= {"success"} else "failure"
        if not condition(job.get("if"), Contexts(values, status)):
            self.jobs.append(Job(job_id, job_id, "skipped"))
            return
        rows: list[dict[str, Any]] = [{}]
        if "strategy" in job:
            only(job["strategy"], ("fail-fast", "matrix"), f"{job_id}'s strategy")
            assert job["strategy"]["fail-fast"] is False
            matrix = fill(job["strategy"]["matrix"], Contexts(values))
            only(matrix, ("include",), f"{job_id}'s matrix")
            rows = matrix["include"]
        machines = [_JobRun(self, job_id, job, {**values, "matrix": row}) for row in rows]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            self.jobs += pool.map(_JobRun.run, machines)


class _JobRun:
    """One job on a machine of its own."""

    def __init__(
        self, runner: Runner, job_id: str, job: Mapping[str, Any], values: dict[str, Any]
    ) -> None:
        self.runner, self.said = runner, job
        folder = runner.storage.fresh("machine")
        self.workspace, self.temp = folder / "work", folder / "temp"
        self.workspace.mkdir()
        self.temp.mkdir()
        self.values = {**values, "runner": {"temp": str(self.temp)}}
        self.values.setdefault("matrix", {})
        before = Contexts({k: v for k, v in self.values.items() if k != "runner"})
        name = text_of(fill(job["name"], before))
        labels, minutes = (fill(job[key], before) for key in ("runs-on", "timeout-minutes"))
        assert isinstance(labels, (str, list)) and labels and 0 < minutes <= 360
        assert set(job["permissions"].items()) <= {("contents", "read")}
        self.job = Job(job_id, name, "success", values=dict(self.values["matrix"]))
        self.path: list[str] = []
        self.masks: list[str] = []
        self.environ = {
            **runner.environ,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_RUN_ID": runner.run_id,
            "GITHUB_RUN_ATTEMPT": str(runner.attempt),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
        }

    def run(self) -> Job:
        self.runner.before(self.temp)
        scope = _Scope(self.values, [])
        for step in self.said["steps"]:
            if step["name"] == "Run" and self.runner.lost(self.values["matrix"]):
                self.job.result = "failure"
                return self.job  # the machine is gone: nothing more comes of it
            self._step(step, scope, self.job)
        outputs = self.said.get("outputs", {})
        contexts = scope.contexts(self.job.result)
        self.job.outputs = {name: text_of(fill(v, contexts)) for name, v in outputs.items()}
        return self.job

    def _step(self, step: Mapping[str, Any], scope: _Scope, state: Job | Step) -> None:
        only(step, _STEP, f"step {step['name']}")
        status = self.job.result if isinstance(state, Job) else state.outcome
        contexts = scope.contexts(status)
        done = Step(step["name"], "skipped", {}, step.get("run", ""))
        scope.steps.append((step.get("id", ""), done))
        if isinstance(state, Job):
            state.steps.append(done)
        if "uses" in step and not step["uses"].startswith("$/"):
            done.possible = files.outputs_of(step["uses"])
        if not condition(step.get("if"), contexts):
            return
        done.outcome = "success"
        if "run" in step:
            self._script(step, contexts, scope, done)
        elif step["uses"].startswith("$/"):
            self._composite(step, contexts, done)
        else:
            given = {key: text_of(v) for key, v in fill(step.get("with", {}), contexts).items()}
            try:
                done.outputs = files.use(step["uses"], self.runner.storage, self.workspace, given)
            except files.ActionError as error:
                done.outcome, done.log = "failure", str(error)
        if done.outcome == "failure":
            if isinstance(state, Job):
                state.result = "failure"
            else:
                state.outcome = "failure"

    def _composite(self, step: Mapping[str, Any], contexts: Contexts, done: Step) -> None:
        folder = self.runner.root / step["uses"].removeprefix("$/")
        action = load(folder / "action.yml")
        only(action, ("name", "description", "inputs", "runs"), "the action")
        only(action["runs"], ("using", "steps"), "the action")
        given = {key: text_of(v) for key, v in fill(step.get("with", {}), contexts).items()}
        only(given, action["inputs"], f"the call of {step['uses']}")
        inputs = {name: given.get(name, how["default"]) for name, how in action["inputs"].items()}
        scope = _Scope({"inputs": inputs, "runner": self.values["runner"]}, [], folder)
        for inner in action["runs"]["steps"]:
            assert "uses" in inner or inner["shell"] == "bash"
            self._step(inner, scope, done)
        done.log = "\n".join(one.log for _, one in scope.steps)

    def _script(
        self, step: Mapping[str, Any], contexts: Contexts, scope: _Scope, done: Step
    ) -> None:
        assert step.get("shell", self.runner.shell) == "bash"
        assert "${{" not in step["run"], "an expression in a script: what it says would be code"
        names = ("OUTPUT", "STEP_SUMMARY", "ENV", "PATH")
        at = {name: self.temp / f"_{secrets.token_hex(4)}" for name in names}
        for path in at.values():
            path.touch()
        script = self.temp / f"_{secrets.token_hex(4)}.sh"
        script.write_text(step["run"], encoding="utf-8")
        own = {key: text_of(v) for key, v in fill(step.get("env", {}), contexts).items()}
        environ = {**self.environ, **own}
        environ |= {f"GITHUB_{name}": str(path) for name, path in at.items()}
        environ["PATH"] = ":".join((*self.path, self.environ["PATH"]))
        if scope.action is not None:
            environ["GITHUB_ACTION_PATH"] = str(scope.action)
        ended = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace / text_of(fill(step.get("working-directory", "."), contexts)),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_DEADLINE,
            check=False,
        )
        done.log = self._read(ended.stdout.decode("utf-8", "replace"))
        done.outcome = "success" if ended.returncode == 0 else "failure"
        done.outputs = assigned(at["OUTPUT"].read_text("utf-8"))
        self.environ |= assigned(at["ENV"].read_text("utf-8"))
        self.path[:0] = reversed(at["PATH"].read_text("utf-8").splitlines())
        self.job.summary += at["STEP_SUMMARY"].read_text("utf-8")

    def _read(self, output: str) -> str:
        """What is shown of a step's output, after the commands in it were carried out."""
        shown, stopped = [], ""
        for line in output.splitlines():
            match = _COMMAND.match(line.lstrip())
            if match is None or (stopped and match[1] != stopped):
                shown.append(line)
            elif stopped:
                stopped = ""
            elif match[1] == "stop-commands":
                stopped = match[3]
            elif match[1] == "add-mask":
                self.masks.append(_unescaped(match[3]))
            else:
                assert match[1] in ("error", "warning", "notice"), line
                found = Annotation(match[1], match[2] or "", _unescaped(match[3]))
                self.job.annotations.append(found)
        assert not stopped, "commands stay stopped"
        text = "\n".join(shown)
        for mask in self.masks:
            text = text.replace(mask, "***")
        return text


@dataclass
class _Scope:
    """The steps that see each other: those of a job, or of a composite action."""

    values: dict[str, Any]
    steps: list[tuple[str, Step]]
    action: Path | None = None

    def contexts(self, status: str) -> Contexts:
        def read(path: tuple[str, ...]) -> str:
            if len(path) != 4 or path[2] != "outputs":
                raise UnknownExpressionError(f"{'.'.join(path)} is not known")
            for step_id, step in self.steps:
                if step_id == path[1]:
                    return step.output(path[3])
            raise UnknownExpressionError(f"no step before has the id {path[1]}")

        return Contexts(self.values, status, read)


def assigned(text: str) -> dict[str, str]:
    """`NAME=value` and `NAME<<MARK` lines, as in $GITHUB_OUTPUT and $GITHUB_ENV."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if marked := re.fullmatch(r"([A-Za-z_][\w-]*)<<(\S+)", line):
            value = []
            for inner in lines:
                if inner == marked[2]:
                    break
                value.append(inner)
            else:
                raise AssertionError(f"{marked[1]}: no end mark")
            found[marked[1]] = "\n".join(value)
        elif line:
            name, sign, value_text = line.partition("=")
            assert sign and re.fullmatch(r"[A-Za-z_][\w-]*", name), f"no assignment: {line!r}"
            found[name] = value_text
    return found


def _unescaped(text: str) -> str:
    return text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
