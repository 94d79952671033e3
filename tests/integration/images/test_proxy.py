"""`index: host`: what a cell fetches goes through the host's proxy, while it is prepared too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import docker
import pytest
from breaking_world import Project

pytestmark = pytest.mark.engine


class Answer(BaseHTTPRequestHandler):
    """Answers every request for any host itself."""

    def do_GET(self) -> None:
        body = f"the proxy was asked for {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[str]:
    """The URL of a proxy that containers can reach."""
    client = docker.from_env()
    config = client.networks.get("bridge").attrs["IPAM"]["Config"][0]
    client.close()
    # Docker does not name the gateway of a bridge that was there before it.
    gateway = config.get("Gateway") or str(next(ip_network(config["Subnet"]).hosts()))
    server = ThreadingHTTPServer((gateway, 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{gateway}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_proxy_serves_prepare_and_the_suite(project: Project, proxy: str) -> None:
    get = "wget -qO- http://nowhere.invalid"
    suite = {"prepare": f"{get}/first >/seen", "run": f"cat /seen; {get}/second", "network": True}
    project.suites({"unit": suite}, index="host")
    project.environ["http_proxy"] = proxy
    assert project.call("run").code == 0
    asked = "the proxy was asked for http://nowhere.invalid"
    assert project.log("unit") == f"{asked}/first\n{asked}/second\n"
