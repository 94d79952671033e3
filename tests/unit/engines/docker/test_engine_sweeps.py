"""Looking for what runs left while things vanish, are half made, or are somebody else's."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from distromatrix.engines.contract import LABEL_RUN, Leftover
from distromatrix.engines.docker import leftovers as docker_sweep
from distromatrix.engines.docker.connection.api import Access, Api
from distromatrix.engines.docker.images import DockerImages
from distromatrix.engines.guest import ready
from distromatrix.engines.qemu.engine import QemuEngine
from distromatrix.engines.vagrant.engine import VagrantEngine
from distromatrix.errors import InfrastructureError
from fake_engine.engine import FakeEngine
from given import unobtainable

Answer = tuple[int, Any]
Answers = dict[str, list[Answer]]  # by method and path; the last one again and again
OURS = {LABEL_RUN: "r"}
ID = "f" * 64


class Door(BaseHTTPRequestHandler):
    """What Docker's API answers, as far as a sweep asks."""

    answers: Answers

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].partition("/v1.41")[2] or self.path
        waiting = self.answers.get(f"{self.command} {path}", [(404, {"message": "No such thing"})])
        status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_HEAD = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Callable[[Answers], Api]]:
    opened: list[tuple[ThreadingHTTPServer, Api]] = []

    def serve(answers: Answers) -> Api:
        door = type("OneDoor", (Door,), {"answers": {"GET /_ping": [(200, "OK")], **answers}})
        server = ThreadingHTTPServer(("127.0.0.1", 0), door)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"tcp://127.0.0.1:{server.server_port}"
        made = Api(
            Access(address=lambda: {"base_url": url}, command="docker", absent="", refused="")
        )
        opened.append((server, made))
        return made

    yield serve
    for server, made in opened:
        made.close()
        server.shutdown()
        server.server_close()


def container(**keys: object) -> dict[str, object]:
    return {"Id": ID, "Names": ["/distromatrix-x"], "Labels": OURS, "Created": 1, **keys}


NO_VOLUMES: Answer = (200, {"Volumes": None, "Warnings": None})
NOTHING: Answers = {
    "GET /containers/json": [(200, [])],
    "GET /volumes": [NO_VOLUMES],
    "GET /networks": [(200, [])],
}


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (container(), ["distromatrix-x"]),
        (container(Names=[]), [ID]),  # dying: it has lost its name
        (container(Names=None), [ID]),
        (container(Labels=None), []),
        (container(Labels={}), []),
        (container(Created=None), ["distromatrix-x"]),
    ],
)
def test_a_container_that_is_just_going_is_listed_as_far_as_it_is_there(
    api: Callable[[Answers], Api], row: dict[str, object], names: list[str]
) -> None:
    answers = {**NOTHING, "GET /containers/json": [(200, [row])]}
    assert [left.name for left in docker_sweep.leftovers(api(answers))] == names


@pytest.mark.parametrize("labels", [OURS, {}])
def test_one_that_has_lost_its_network_is_found_though_it_keeps_all_others_from_being_listed(
    api: Callable[[Answers], Api], labels: dict[str, str]
) -> None:
    why = f"joining network namespace of container {ID}: retrieving network namespace"
    broken = {"Id": ID, "Name": "/distromatrix-x", "Config": {"Labels": labels}, "Created": 1}
    answers = {
        **NOTHING,
        "GET /containers/json": [(500, {"message": why})],
        f"GET /containers/{ID}/json": [(200, broken)],
    }
    if labels:
        assert [left.name for left in docker_sweep.leftovers(api(answers))] == ["distromatrix-x"]
    else:
        with pytest.raises(InfrastructureError, match="joining network namespace"):
            docker_sweep.leftovers(api(answers))


@pytest.mark.parametrize("keys", [{"Labels": None}, {"Labels": {}}, {"Labels": OURS}])
def test_a_volume_without_our_label_is_nobodys(
    api: Callable[[Answers], Api], keys: dict[str, object]
) -> None:
    volume = {"Name": "v", "CreatedAt": None, **keys}
    answers = {**NOTHING, "GET /volumes": [(200, {"Volumes": [volume]})]}
    found = [(left.name, left.run) for left in docker_sweep.leftovers(api(answers))]
    assert found == ([("v", "r")] if keys["Labels"] else [])


@pytest.mark.parametrize(
    ("name", "kept"), [("distromatrix-kept-x", True), ("distromatrix-x", False)]
)
def test_a_network_is_kept_with_the_machine_that_stands_on_it(
    api: Callable[[Answers], Api], name: str, kept: bool
) -> None:
    row = container(Names=[f"/{name}"], NetworkSettings={"Networks": {"n": {}}})
    networks = [{"Name": n, "Labels": OURS} for n in ("n", "other")]
    networks.append({"Name": "theirs", "Labels": None})
    answers = {
        **NOTHING,
        "GET /containers/json": [(200, [row])],
        "GET /networks": [(200, networks)],
    }
    found = [(left.kind, left.name, left.kept) for left in docker_sweep.leftovers(api(answers))]
    assert found[1:] == [("network", "n", kept), ("network", "other", False)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/containers/json", f"No such container: {ID}"),
        ("/containers/json", f'no container with name or ID "{ID}" found: no such container'),
        ("/volumes", "get v: no such volume"),
        ("/networks", "No such network: n"),
    ],
)
def test_a_listing_that_trips_over_something_that_goes_is_asked_for_again(
    api: Callable[[Answers], Api], path: str, message: str
) -> None:
    answers: Answers = {**NOTHING, "GET /containers/json": [(200, [container()])]}
    answers[f"GET {path}"] = [(500, {"message": message}), *answers[f"GET {path}"]]
    assert [left.name for left in docker_sweep.leftovers(api(answers))] == ["distromatrix-x"]


def test_an_engine_that_cannot_list_for_another_reason_says_so(
    api: Callable[[Answers], Api],
) -> None:
    answers = {"GET /containers/json": [(500, {"message": "database is locked"})]}
    with pytest.raises(InfrastructureError, match="database is locked"):
        docker_sweep.leftovers(api(answers))


@pytest.mark.parametrize("body", [{}, {"Config": None}, {"Config": {"Labels": None}}])
def test_what_has_lost_our_label_is_not_removed(
    api: Callable[[Answers], Api], body: dict[str, object]
) -> None:
    left = Leftover(
        kind="container",
        name="distromatrix-x",
        run="r",
        folder="/f",
        host="h",
        kept=False,
        created=0,
    )
    answers = {
        "GET /containers/distromatrix-x/json": [(200, body)],
        "DELETE /containers/distromatrix-x": [(500, {"message": "must not be asked"})],
    }
    docker_sweep.remove(api(answers), left)
    docker_sweep.remove(api({}), left)  # nor what is gone


def test_images_without_names_or_dates_are_listed(api: Callable[[Answers], Api]) -> None:
    tag = "distromatrix/base:x"
    rows: list[dict[str, object]] = [
        {"Id": "a"},
        {"Id": "b", "RepoTags": None},
        {"RepoTags": [tag]},
    ]
    answers: Answers = {
        "GET /images/json": [(500, {"message": "image not known"}), (200, rows)],
        f"GET /images/{tag}/json": [
            (500, {"message": "locating image with ID: image not known"}),  # Podman, of another
            (200, {"Id": "sha256:c", "RepoTags": [tag]}),
        ],
    }
    (image,) = DockerImages(api(answers)).list()
    assert (image.tag, image.created) == (tag, 0.0)


HALF = ["", "{", "[]", "null", "{}", '{"labels": null}', json.dumps({"labels": OURS})]


def test_guests_that_are_half_made_are_looked_over(tmp_path: Path) -> None:
    if not shutil.which("virsh"):
        unobtainable("there is no virsh")
    qemu = QemuEngine(FakeEngine(tmp_path / "fake"), cache=tmp_path)
    vagrant = VagrantEngine(FakeEngine(tmp_path / "fake"), cache=tmp_path)
    for kind, file in {"machines": "machine.json", "vagrant/machines": "machine.json"}.items():
        for number, text in enumerate(HALF):
            (folder := tmp_path / "guests" / kind / f"distromatrix-{number}").mkdir(parents=True)
            (folder / file).write_text(text)
        (tmp_path / "guests" / kind / "distromatrix-empty").mkdir()
    last = f"distromatrix-{len(HALF) - 1}"
    for engine in (qemu, vagrant):
        (left,) = engine.leftovers()
        assert left.name == last
        engine.remove(left)
        assert engine.leftovers() == ()


def test_a_template_that_is_removed_while_it_is_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vagrant = VagrantEngine(FakeEngine(tmp_path / "fake"), cache=tmp_path)
    folder = tmp_path / "guests/vagrant/templates/distromatrix-template-x"
    folder.mkdir(parents=True)
    assert [one.name for one in vagrant.templates_kept.list()] == [folder.name]

    def late(found: Iterable[Path]) -> list[Path]:
        rows = sorted(found)
        for row in rows:
            row.rmdir()
        return rows

    monkeypatch.setattr(ready, "sorted", late, raising=False)
    assert vagrant.templates_kept.list() == ()


@pytest.mark.parametrize("kind", ["containers", "volumes", "networks"])
def test_whatever_an_engine_lists_is_looked_over(api: Callable[[Answers], Api], kind: str) -> None:
    odd: list[dict[str, Any]] = [
        {"Labels": OURS},
        {"Labels": OURS, "Id": ID, "Name": "one", "Names": None, "Created": "no date"},
        {"Labels": {**OURS, "x": None}, "Id": "b", "Name": "two", "Names": [], "Created": 1e400},
        {"Labels": None, "Id": "c", "Name": "three", "Names": ["/three"]},
        {"Id": "d"},
    ]
    lists = {"containers": "containers/json", "volumes": "volumes", "networks": "networks"}
    answers: Answers = {f"GET /{path}": [(200, [])] for path in lists.values()}
    answers["GET /volumes"] = [(200, {"Volumes": None})]
    answers[f"GET /{lists[kind]}"] = [(200, {"Volumes": odd} if kind == "volumes" else odd)]
    found = docker_sweep.leftovers(api(answers))
    names = [ID, "b"] if kind == "containers" else ["one", "two"]
    assert [one.name for one in found] == names
