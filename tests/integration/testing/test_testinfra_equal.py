"""All of testinfra's modules answer through distromatrix:// as through its own docker://."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import testinfra_calls

from given import alpine_or_pulled
from quick_python import quick_python

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MATRIX = """\
product: .
distros: [DISTROS]
ca_bundle: host
index: host
defaults: {timeout: 5m}
suites:
  tools:
    packages: [PACKAGES]
    setup: |
      echo 'ünï' >'/tmp/ünï'
      echo 'a file' >'/tmp/a file'
      START
    run: 'true'
"""
# Listens at a port and at a socket, and has a program that runs.
SUPERVISOR = r"""
      printf '%s\n' '[supervisord]' 'pidfile=/tmp/supervisord.pid' 'logfile=/dev/null' \
        'logfile_maxbytes=0' 'user=root' '[inet_http_server]' 'port=127.0.0.1:9001' \
        '[unix_http_server]' 'file=/tmp/supervisor.sock' '[rpcinterface:supervisor]' \
        'supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface' \
        '[supervisorctl]' 'serverurl=unix:///tmp/supervisor.sock' \
        '[program:sleeper]' 'command=sleep 3600' >/tmp/supervisord.conf
      supervisord -c /tmp/supervisord.conf
      until supervisorctl -c /tmp/supervisord.conf status sleeper | grep RUNNING; do sleep 0.2; done
"""
# What Alpine has without its package mirror, which is not in reach everywhere.
BUSYBOX = "nc -lk -p 9001 -e cat >/dev/null 2>&1 &"
TOOLS = "iproute2, procps, sudo, iptables, supervisor, python3-pip, python3-setuptools"


def compare(tmp_path: Path, *distros: str, tools: str = "", start: str) -> None:
    for folder in ("matrix", "tests"):
        (tmp_path / folder).mkdir()
    matrix = MATRIX.replace("DISTROS", ", ".join(distros)).replace("PACKAGES", tools)
    (tmp_path / "matrix/default.yaml").write_text(matrix.replace("START", start.strip()))
    shutil.copy(testinfra_calls.__file__, tmp_path / "tests/test_calls.py")
    archives = str(alpine_or_pulled().parent)
    done = subprocess.run(
        [quick_python(), "-m", "pytest", "-n2", "-q", "--hosts=distromatrix://*?suite=tools"],
        cwd=tmp_path,
        env={**clean_environment(), "DISTROMATRIX_ARCHIVES": archives},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    count = len(distros) * (len(testinfra_calls.CALLS) + 4) + 1
    assert re.search(rf"\b{count} passed in ", done.stdout), done.stdout[-500:]


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}


def test_answers_are_equal_on_alpine(tmp_path: Path) -> None:
    compare(tmp_path, "alpine-3.20", start=BUSYBOX)


def test_answers_are_equal_on_debian(tmp_path: Path) -> None:
    compare(tmp_path, "debian-12", tools=TOOLS, start=SUPERVISOR)


def test_answers_are_equal_on_other_debians(tmp_path: Path) -> None:
    others = ("debian-11", "debian-13", "debian-testing", "debian-sid")
    compare(tmp_path, *others, tools=TOOLS, start=SUPERVISOR)
