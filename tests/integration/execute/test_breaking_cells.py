"""Suites that hang, eat, flood, lie and hide: each named for what it is, on a real engine."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import subprocess
import tarfile

import pytest
from breaking_world import Project

pytestmark = pytest.mark.engine


def test_what_hangs_is_killed_with_all_it_started_and_is_named(project: Project) -> None:
    project.suites(
        {
            "plain": "echo so far; sleep 4321",
            "deaf": "trap '' TERM INT HUP; echo so far; while :; do sleep 4322; done",
            "forks": "echo so far; (setsid sh -c 'sleep 4323 & sleep 4324' &); sleep 4325",
        },
        defaults={"timeout": "2s", "network": False, "memory": "64M"},
    )
    ended = project.call("run", "-j", "3")
    assert ended.code == 1
    for name, hung in (("plain", "sleep 4321"), ("deaf", "sleep 4322"), ("forks", "sleep 4325")):
        cell = project.results()[name]
        assert cell["verdict"] == "failed"
        assert "timed out after 2 s" in cell["reason"]
        assert hung in cell["reason"]
        assert "so far" in project.log(name)
    assert project.left() == []
    assert b"sleep 432" not in subprocess.run(["ps", "ax"], capture_output=True, check=True).stdout


def test_a_background_process_that_holds_the_output_keeps_no_cell_waiting(
    project: Project,
) -> None:
    project.suites({"leaves": "sleep 4326 & (sleep 4327 &); echo done"})
    assert project.call("run").code == 0
    assert project.log("leaves") == "done\n"


def test_out_of_memory_is_a_failure_that_names_the_limit(project: Project) -> None:
    eat = "dd if=/dev/zero of=/dev/null bs=200M count=1"
    project.suites({"child": f"{eat} || exit 1", "shell": "x=$(yes | head -c 200m)"})
    assert project.call("run", "--retries", "3").code == 1
    for name in ("child", "shell"):
        cell = project.results()[name]
        assert cell["verdict"] == "failed"
        assert "64 MiB" in cell["reason"]


def test_an_image_that_cannot_start_is_an_error_that_says_why(project: Project) -> None:
    project.archives = project.root.parent
    elf = bytes.fromhex("7f454c4602010100") + bytes(8) + bytes.fromhex("0200b700") + bytes(108)
    for name, content in (("empty", b""), ("foreign", elf)):
        archive = project.archives / f"{name}.tar"
        with tarfile.open(archive, "w") as tar:
            info = tarfile.TarInfo("bin/sh" if content else "just-a-file")
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        project.add_distro(f"{project.distro}-{name}", f"{name}.tar", digest)
    project.suites({"any": "true"}, distros=[f"{project.distro}-*"])
    ended = project.call("run")
    assert ended.code == 69
    cells = {c["id"]: c for c in project.every_result()}
    empty = cells[f"{project.distro}-empty/any"]
    foreign = cells[f"{project.distro}-foreign/any"]
    assert (empty["verdict"], foreign["verdict"]) == ("error", "error")
    assert "no /bin/sh" in empty["reason"]
    assert "another architecture" in foreign["reason"]
    assert "Traceback" not in ended.said


@pytest.mark.parametrize("size", [100_000_000, pytest.param(1_000_000_000, marks=pytest.mark.slow)])
def test_a_flood_of_output_costs_bounded_memory_and_log(project: Project, size: int) -> None:
    flood = f"head -c {size} /dev/zero | tr '\\0' '\\377'; echo; echo the end"
    project.suites({"flood": flood})
    project.forked = False  # the memory of forks is not our children's
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    ended = project.call("run", timeout=300)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # KiB
    assert ended.code == 0
    # Of all children so far: where an earlier one took more, this one did not.
    assert used == before or used < 300 * 1024
    file = project.latest / "cells" / project.distro / "flood/log.txt"
    assert file.stat().st_size < 40 * 1024**2
    assert "the end" in project.log("flood")[-100:]
    assert "left out" in project.log("flood")


def test_nothing_that_a_suite_prints_is_obeyed_by_a_terminal(project: Project) -> None:
    nasty = r"\033]0;owned\007\033[2J\302\233\377\000\r\n"
    project.suites({"bell": f"printf '{nasty}'; exit 1"})
    ended = project.call("run")
    assert ended.code == 1
    shown = ended.out + project.call("report").out
    assert not set(shown) & {chr(c) for c in (*range(9), *range(11, 32), 127, 0x9B)}
    assert "owned" in shown


JUNK = {
    "entities": '<!DOCTYPE a [<!ENTITY b "c">]><testsuite><testcase name="&b;"/></testsuite>',
    "cut": '<testsuite><testcase name="a"/><testca',
    "none": "<testsuite></testsuite>",
}


def test_a_report_that_cannot_be_trusted_is_never_green(project: Project) -> None:
    suites = {n: f"cat > \"$DISTROMATRIX_JUNIT\" <<'E'\n{text}\nE" for n, text in JUNK.items()}
    suites["missing"] = ': "$DISTROMATRIX_JUNIT"'
    project.suites(suites)
    assert project.call("run").code == 1
    for name in (*JUNK, "missing"):
        cell = project.results()[name]
        assert (cell["verdict"], cell["phase"]) == ("failed", "collect"), name


def test_reports_of_any_shape_come_out_of_a_container(project: Project) -> None:
    green = '<testsuite><testcase name="a"/></testsuite>'
    red = '<testsuite><testcase name="b"><failure/></testcase></testsuite>'
    one = f"echo '{green}' >$DISTROMATRIX_JUNIT_DIR/$i.xml"
    project.suites(
        {
            "folder": f"mkdir $DISTROMATRIX_JUNIT; echo '{red}' >$DISTROMATRIX_JUNIT/a.xml",
            "many": f"i=0; while [ $i -lt 300 ]; do {one}; i=$((i+1)); done",
            "link": "ln -s /etc/passwd $DISTROMATRIX_JUNIT_DIR/a.xml",
            "pipe": "mkfifo $DISTROMATRIX_JUNIT_DIR/a.xml",
        }
    )
    assert project.call("run").code == 1
    found = project.results()
    assert found["folder"]["cases"]["failed"] == 1
    assert (found["many"]["verdict"], found["many"]["cases"]["passed"]) == ("passed", 300)
    for name in ("link", "pipe"):
        assert found[name]["reason"].startswith("reports: out/junit/a.xml: a ")


def test_tap_is_what_comes_on_standard_output_alone(project: Project) -> None:
    tap = "echo 1..2; echo ok 1; echo not ok 9 >&2; echo ok 2"
    project.suites({"whole": tap, "cut": f"({tap}) | head -n 2"}, defaults={"report": "tap"})
    assert project.call("run").code == 1
    found = project.results()
    assert (found["whole"]["verdict"], found["whole"]["cases"]["passed"]) == ("passed", 2)
    assert "2 tests were planned, only 1 came" in found["cut"]["reason"]
    assert "not ok 9" in project.log("whole")


@pytest.mark.slow
def test_a_million_cases_are_counted_in_bounded_memory(project: Project) -> None:
    cases = "yes '<testcase name=\"a\"/>' | head -n 1000000"
    xml = f"{{ echo '<testsuite>'; {cases}; echo '</testsuite>'; }}"
    project.suites({"million": f'{xml} > "$DISTROMATRIX_JUNIT"'})
    project.forked = False  # the memory of forks is not our children's
    assert project.call("run", timeout=300).code == 0
    assert project.results()["million"]["cases"]["passed"] == 1_000_000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 300 * 1024  # KiB


def test_artifacts_come_back_and_stay_in_the_runs_folder(project: Project) -> None:
    project.suites(
        {
            "good": 'mkdir "$DISTROMATRIX_ARTIFACTS/sub"; echo x >"$DISTROMATRIX_ARTIFACTS/sub/y"',
            "device": {
                "run": 'cd "$DISTROMATRIX_ARTIFACTS"; mkfifo pipe; mknod null c 1 3',
                "privileges": ["mknod"],
            },
            "link": 'ln -s /etc/passwd "$DISTROMATRIX_ARTIFACTS/link"',
            "folder": 'rm -r "$DISTROMATRIX_ARTIFACTS"; ln -s /etc "$DISTROMATRIX_ARTIFACTS"',
        }
    )
    assert project.call("run").code == 1
    good = project.latest / "cells" / project.distro / "good/artifacts/sub/y"
    assert good.read_text() == "x\n"
    for name, verdict in (("device", "failed"), ("link", "passed"), ("folder", "failed")):
        cell = project.results()[name]
        phase = "collect" if verdict == "failed" else None
        assert (cell["verdict"], cell["phase"]) == (verdict, phase), name
        left_out = {"device": ["pipe (a pipe)"], "link": ["link (a symbolic link)"]}.get(name, [])
        assert cell["warnings"] == [f"left out of the artifacts: {one}" for one in left_out]
        for path in (project.latest / "cells" / project.distro / name).rglob("*"):
            assert path.is_dir() or path.is_file()
            assert not path.is_symlink()


def test_passed_variables_are_seen_by_the_suite_and_nowhere_else(project: Project) -> None:
    project.environ["TOKEN"] = 's3cr3t-&-"quoted"'
    escaped = 'X=$(printf %s "$TOKEN" | sed "s/&/\\&amp;/g")'
    xml = '<testsuite><testcase name="%s"><failure message="m">%s</failure></testcase></testsuite>'
    halves = 'printf "%s" "${TOKEN%%-*}"; sleep 0.2; echo "-${TOKEN#*-}"'
    project.suites(
        {
            "leak": f'echo "got $TOKEN"; {halves}; {escaped}; '
            f'printf \'{xml}\' case "$X" > "$DISTROMATRIX_JUNIT"; exit 1'
        },
        pass_env=["TOKEN"],
    )
    ended = project.call("run", "--json")
    assert ended.code == 1
    assert project.log("leak") == "got ***\n***\n"
    assert project.results()["leak"]["cases"]["failed"] == 1
    shown = ended.said + project.call("report").said
    files = [p for p in (project.root / ".distromatrix").rglob("*") if p.is_file()]
    assert len(files) >= 5
    for name, text in [("terminal", shown), *((str(p), p.read_text("latin-1")) for p in files)]:
        assert "s3cr3t" not in text, name


def test_a_cell_has_its_own_copy_and_the_product_is_never_written_to(project: Project) -> None:
    spoil = 'cat hello; [ "$(cat hello)" = hello ]; echo spoilt > hello; rm -rf matrix; touch new'
    project.suites({"one": f"{spoil}; sleep 1", "two": f"{spoil}; sleep 1"})
    before = sorted(p.name for p in project.root.iterdir())
    assert project.call("run", "-j", "2").code == 0
    assert (project.root / "hello").read_text() == "hello\n"
    assert sorted({p.name for p in project.root.iterdir()} - {".distromatrix"}) == before


def test_a_suites_user_and_bounds_are_honoured(project: Project) -> None:
    as_nobody = (
        'id; [ "$(id -un)" = nobody ]; [ "$(stat -c %U hello)" = nobody ]; echo x >> hello;'
        'grep -q "NoNewPrivs:.1" /proc/self/status; echo a > "$DISTROMATRIX_ARTIFACTS/a";'
        '! grep -q "CapEff:.*[1-9a-f]" /proc/self/status'
    )
    project.suites(
        {
            "nobody": {"run": as_nobody, "user": "nobody"},
            "alone": "! ip -o link | grep -v ' lo'",
            "net": {"run": "ip -o link | grep eth0", "network": True},
        }
    )
    ended = project.call("run")
    assert ended.code == 0, ended.out
    mine = (project.latest / "cells" / project.distro / "nobody/artifacts/a").stat()
    assert mine.st_uid == os.getuid()


def test_two_runs_at_once_build_a_layer_once_and_leave_each_other_alone(
    project: Project,
) -> None:
    project.suites({"s": {"run": "cat /made", "prepare": "sleep 2; date +%N > /made"}})
    runs = [project.start("run") for _ in range(2)]
    for run in runs:
        run.communicate(timeout=120)
    assert [run.returncode for run in runs] == [0, 0]
    folders = [p for p in (project.root / ".distromatrix/runs").iterdir() if not p.is_symlink()]
    said = {(f / "cells" / project.distro / "s/log.txt").read_text() for f in folders}
    assert (len(folders), len(said)) == (2, 1)
    assert project.left() == []
