"""What is made of Docker's words, without an engine: pulls, starts, hung processes, frames."""

from __future__ import annotations

import socket

import pytest

from distromatrix.engines.docker.connection.stream import AttachStream
from distromatrix.engines.docker.messages import cannot_start, classify, of_image, pull_error
from distromatrix.engines.shell.processes import Process, describe

# Messages as Docker 20.10 to 28 print them.
PULLS = [
    (
        "rate-limit",
        "toomanyrequests: You have reached your pull rate limit. You may increase the limit by "
        "authenticating and upgrading: https://www.docker.com/increase-rate-limit",
    ),
    ("rate-limit", "error pulling image configuration: received unexpected HTTP status: 429"),
    (
        "unreachable",
        'Get "https://registry.example/v2/": dial tcp: lookup registry.example on '
        "127.0.0.11:53: no such host",
    ),
    (
        "unreachable",
        'Get "https://r.example/v2/": dial tcp 10.0.0.1:443: connect: connection refused',
    ),
    (
        "unreachable",
        'Get "https://r.example/v2/": net/http: request canceled while waiting for connection '
        "(Client.Timeout exceeded while awaiting headers)",
    ),
    ("unreachable", 'Get "https://r.example/v2/": dial tcp 10.0.0.1:443: i/o timeout'),
    ("unreachable", "dial tcp 10.0.0.1:443: connect: no route to host"),
    (
        "unreachable",
        'Get "https://r.example/v2/": x509: certificate signed by unknown authority',
    ),
    ("unreachable", 'Get "https://r.example/v2/": EOF'),
    (
        "denied",
        "pull access denied for nosuch, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied",
    ),
    ("denied", "unauthorized: authentication required"),
    ("not-found", "manifest for debian:nosuch not found: manifest unknown: manifest unknown"),
    ("not-found", "no matching manifest for linux/s390x in the manifest list entries"),
    ("other", "something nobody has seen yet"),
]


@pytest.mark.parametrize(("kind", "message"), PULLS)
def test_a_failed_pull_is_told_by_its_message(kind: str, message: str) -> None:
    assert classify(message) == kind
    assert pull_error("r.example/x:1", message).kind == kind


def test_a_denial_that_may_be_an_absence_says_both() -> None:
    error = pull_error("nosuch", PULLS[9][1])
    assert "no such image, or wants credentials" in str(error)
    assert "no such image" not in str(pull_error("x", "unauthorized: authentication required"))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("no basic auth credentials", "has none for it: `docker login r.example:5000`"),
        ("unauthorized: authentication required", "does not take the credentials"),
        ("toomanyrequests: You have reached your limit", "limits how often one may pull"),
        ("manifest unknown: manifest unknown", "check the name and the tag"),
        ("no matching manifest for linux/amd64 in the manifest list", "other architectures only"),
    ],
)
def test_each_refusal_of_a_registry_says_what_to_do(message: str, words: str) -> None:
    assert words in str(pull_error("r.example:5000/x:1", message))


def test_a_reference_without_a_registry_is_docker_hubs() -> None:
    said = str(pull_error("library/x:1", "unauthorized"))
    assert "`docker login docker.io`" in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("standard_init_linux.go:228: exec user process caused: exec format error", "architecture"),
        (
            'OCI runtime create failed: exec: "/bin/sh": stat /bin/sh: no such file or directory',
            "no /bin/sh",
        ),
        ("exec /bin/sh: no such file or directory", "no /bin/sh"),
        ("crun: cgroups in hybrid mode not supported: OCI runtime error", "doctor --engine podman"),
        ("driver failed programming external connectivity", ""),
    ],
)
def test_an_image_that_cannot_start_is_told_why(text: str, reason: str) -> None:
    assert reason in cannot_start(text)
    assert bool(reason) == bool(cannot_start(text))


def test_what_hung_is_the_longest_running_command_at_the_bottom() -> None:
    said = describe(
        [
            Process.listed(("10", "1", "10:00", "/bin/sh -c LOOP")),
            Process.listed(("11", "10", "09:00", "/bin/sh -e -c make check")),
            Process.listed(("12", "11", "08:59", "make check")),
            Process.listed(("13", "12", "00:09", "short")),
            Process.listed(("14", "12", "1-00:00:01", "long " + "x" * 500)),
            Process.listed(("15", "12", "09:59", "[gone] <defunct>")),
        ]
    )
    assert said.startswith("long x")
    assert "… (for 1-00:00:01), short (for 00:09), make check (for 08:59)" in said
    assert "LOOP" not in said
    assert len(said) < 300


def test_podmans_words_for_times_and_ended_processes_are_understood() -> None:
    said = describe(
        [
            Process.listed(("1", "0", "2h0m10s", "/bin/sh -c LOOP")),
            Process.listed(("2", "1", "422.148593ms", "new")),
            Process.listed(("3", "1", "5m1.25s", "older")),
            Process.listed(("4", "1", "1h2m3.5s", "oldest")),
            Process.listed(("5", "1", "6m0s", "[sleep]")),
        ]
    )
    assert said == "oldest (for 01:02:03), older (for 05:01), new (for 00:00)"


def test_a_script_that_hangs_by_itself_is_named() -> None:
    rows = [
        Process.listed(("10", "1", "01:00", "/bin/sh -c LOOP")),
        Process.listed(("11", "10", "00:59", "/bin/sh -e -c a")),
    ]
    assert describe(rows) == "a (for 00:59)"
    assert describe(rows[:1]) == ""


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_frames_are_taken_apart_wherever_they_are_cut(size: int) -> None:
    def frame(kind: int, data: bytes) -> bytes:
        return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4) + data

    wire = frame(1, b"out\0") + frame(2, b"error") + frame(1, b"") + frame(1, b"x" * 300)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = AttachStream(ours)
        got: list[tuple[int, bytes]] = []
        for at in range(0, len(wire), size):
            theirs.sendall(wire[at : at + size])
            try:
                got += stream.receive(0.01)
            except TimeoutError:
                continue
        theirs.close()
        while more := stream.receive(1):
            got += more
        out = b"".join(data for kind, data in got if kind == 1)
        err = b"".join(data for kind, data in got if kind == 2)
        assert (out, err) == (b"out\0" + b"x" * 300, b"error")


def test_a_fault_of_an_image_is_told_by_its_name_where_it_has_one() -> None:
    assert (of_image("sha256:" + "0" * 64), of_image("debian:12")) == ("", "debian:12: ")
