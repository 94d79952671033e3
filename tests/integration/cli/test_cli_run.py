"""The whole command on a real engine: options, exit codes, and what goes where."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from breaking_world import Project

pytestmark = pytest.mark.engine


@pytest.fixture
def project(project: Project) -> Project:
    project.suites({"good": "true", "bad": "echo so bad; exit 1"})
    return project


def ran(project: Project) -> set[str]:
    return {name for name, c in project.results().items() if c["verdict"] != "skipped"}


def test_json_is_alone_on_stdout_and_says_what_the_run_said(project: Project) -> None:
    ended = project.call("run", "--json")
    assert ended.code == 1
    found = json.loads(ended.out)
    verdicts = {c["id"].partition("/")[2]: c["verdict"] for c in found["cells"]}
    assert verdicts == {"good": "passed", "bad": "failed"}
    assert found["verdict"] == "failed"
    again = project.call("report", "--json")
    assert (again.code, json.loads(again.out)) == (1, found)


def test_what_is_selected_left_out_and_failed_before_is_what_runs(project: Project) -> None:
    assert project.call("run").code == 1
    assert ran(project) == {"good", "bad"}
    assert project.call("run", "--failed").code == 1
    assert ran(project) == {"bad"}
    assert project.call("run", "--exclude", "*/bad").code == 0
    assert ran(project) == {"good"}
    assert project.call("run", "--failed").code == 3
    assert project.call("run", "nothing/at-all").code == 3
    assert ran(project) == {"good"}  # nothing was begun, so nothing is newer


def test_wrong_input_and_an_absent_engine_have_their_exit_codes(project: Project) -> None:
    assert project.call("run", "--timeout", "0s").code == 2
    assert project.call("run", "-j", "none").code == 2
    assert project.call("run", "--resume", "nothing").code == 2
    project.environ["DOCKER_HOST"] = f"unix://{project.root}/nobody.sock"
    away = project.call("run")
    assert away.code == 69
    assert "distromatrix doctor" in away.err
    assert project.call("plan").code == 0
    project.suites({"bad": {"run": "true", "tiemout": "1s"}})
    wrong = project.call("run")
    assert wrong.code == 2
    assert "did you mean" in wrong.err and "timeout" in wrong.err


@pytest.mark.slow
def test_a_timeout_option_beats_every_suites_own(project: Project) -> None:
    project.suites({"slow": {"run": "sleep 60", "timeout": "10m"}})
    assert project.call("run", "--timeout", "1s").code == 1
    assert "timed out after 1 s" in project.results()["slow"]["reason"]


def test_expected_failures_and_unmet_needs_decide_the_exit_code(project: Project) -> None:
    rules = [{"suite": "bad", "expect": "fail", "reason": "known"}]
    project.suites({"bad": "exit 1", "good": "true"}, rules=rules)
    assert project.call("run").code == 0
    assert project.results()["bad"]["verdict"] == "xfailed"
    project.suites({"kernel": {"run": "true", "needs": ["own-kernel"]}, "good": "true"})
    assert project.call("run").code == 1
    assert project.results()["kernel"]["verdict"] == "skipped"
    assert project.call("run", "--allow-unmet").code == 0


def test_named_cases_are_expected_and_nothing_beside_them_is(project: Project) -> None:
    case = "<testcase name='{}'>{}</testcase>"
    report = 'echo "<testsuite>{}</testsuite>" >$DISTROMATRIX_JUNIT; '
    red = case.format("known", "<failure/>")
    ends = {
        "alone": report.format(red) + "exit 1",
        "beside": report.format(red + case.format("other", "<failure/>")) + "exit 1",
        "crash": report.format(red) + "kill -SEGV $$",
        "hang": {"run": report.format(red) + "sleep 60", "timeout": "2s"},
        "memory": {"run": report.format(red) + "tail /dev/zero", "memory": "32M"},
        "mended": report.format(case.format("known", "")),
        "setup": {"setup": "exit 1", "run": report.format(red) + "exit 1"},
    }
    project.suites(ends, rules=[{"expect": "fail", "cases": ["known"], "reason": "old"}])
    said = project.call("run")
    assert said.code == 1
    assert {suite: cell["verdict"] for suite, cell in project.results().items()} == {
        **dict.fromkeys(("beside", "crash", "hang", "memory", "setup"), "failed"),
        "alone": "xfailed",
        "mended": "xpassed",
    }
    counts = {"passed": 0, "failed": 1, "skipped": 0, "xfailed": 1, "xpassed": 0}
    assert project.results()["beside"]["cases"] == counts
    # what a run suggests makes it green, but for what passed
    found = project.call("report", "--rules")
    assert found.out.count('reason: ""') == 5


def test_a_kept_machine_is_entered_as_it_was_left_and_removed_as_it_says(
    project: Project,
) -> None:
    project.suites({"bad": "echo trace > left-here; exit 1"}, env={"COLOUR": "green"})
    ended = project.call("run", "--keep", "failed")
    assert ended.code == 1
    kept = next(line for line in ended.out.splitlines() if "docker rm" in line)
    cell = f"{project.distro}/bad"
    script = "cat left-here; echo $COLOUR $DISTROMATRIX_CELL; exit 7\n"
    inside = project.call("shell", cell, input=script)
    assert inside.code == 7
    assert inside.out == f"trace\ngreen {cell}\n"
    project.call("run")  # another run leaves it alone
    assert project.left() != []
    remove = kept[kept.index("docker rm") :]
    subprocess.run(shlex.split(remove), check=True, capture_output=True)
    assert project.call("clean").code == 0
    assert project.left() == []


def test_a_fresh_shell_has_the_setup_and_leaves_nothing(project: Project) -> None:
    project.suites({"s": {"run": "true", "setup": "echo done > set-up"}})
    inside = project.call("shell", f"{project.distro}/s", input="cat set-up hello; exit 3\n")
    assert (inside.code, inside.out) == (3, "done\nhello\n")
    assert project.left() == []
    assert not (project.root / "set-up").exists()


def test_images_are_built_listed_and_pruned(project: Project) -> None:
    project.suites({"s": {"run": "cat /made", "prepare": "echo made > /made"}})
    built = project.call("images", "build")
    assert built.code == 0
    tag = built.out.split(": ")[1].strip()
    rows = json.loads(project.call("images", "list", "--json").out)
    assert tag in {row["tag"] for row in rows}
    assert project.call("run").code == 0
    assert project.log("s") == "made\n"
    subprocess.run(["docker", "rmi", tag], check=True, capture_output=True)


def test_a_users_suite_tests_a_setuid_helper_with_that_privilege_alone(project: Project) -> None:
    suite = {
        "user": "tester",
        # No program of busybox's: these give up what they have become.
        "prepare": "cp /usr/bin/iconv /usr/bin/helper; chmod 4755 /usr/bin/helper; "
        "echo only root reads this >/secret; chmod 600 /secret",
        "run": "! cat /secret; /usr/bin/helper -f UTF-8 -t UTF-8 /secret",
    }
    project.suites({"without": suite, "with": {**suite, "privileges": ["setuid"]}})
    assert project.call("run").code == 1
    verdicts = {name: one["verdict"] for name, one in project.results().items()}
    assert verdicts == {"without": "failed", "with": "passed"}
