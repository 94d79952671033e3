"""What a host hands over to its cells so that they reach the network as it does: its
certificate authorities, its package indexes, its proxies."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from distromatrix.engines.answer import hear_out
from distromatrix.errors import InputError
from distromatrix.model import HostOrNone

CA_PATH = "/etc/distromatrix/ca.crt"
APT_CONF_PATH = "/etc/distromatrix/apt.conf"

# Each tool's own word for 'the bundle of certificate authorities': OpenSSL (and what asks
# it: Python, uv, Ruby), apk's libfetch, pip, requests, curl, git, Node, cargo, the AWS tools.
_CA_VARIABLES = (
    "SSL_CERT_FILE",
    "SSL_CA_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
)
_HOST_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
_HOST_CA_PATHS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine, Void
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine without ca-certificates
)
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")
# pip's option -> may it hold several values. https://pip.pypa.io/en/stable/topics/configuration/
_PIP_OPTIONS = {
    "index-url": False,
    "extra-index-url": True,
    "trusted-host": True,
    "timeout": False,
    "default-timeout": False,
}
_UV_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
_ASK_TIMEOUT = 20.0

Run = Callable[[tuple[str, ...], Mapping[str, str]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What cells are given. `env`: variables for every command in a cell (a suite's own win);
    `ca`: the content of CA_PATH in the prepared image; `apt_conf`: that of APT_CONF_PATH;
    `secrets`: values to mask wherever output is shown or stored; `warnings`: for the user."""

    env: Mapping[str, str] = field(default_factory=dict)
    ca: bytes | None = None
    apt_conf: str | None = None
    secrets: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def ask(command: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """What a tool of the host prints on stdout; '' if it is not there or does not answer."""
    if shutil.which(command[0], path=environ.get("PATH")) is None:
        return ""
    try:
        process = subprocess.Popen(
            command,
            env=dict(environ),
            cwd="/",  # a checkout's .npmrc may name any of the caller's variables
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        said, _ = hear_out(process, _ASK_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.decode(errors="replace") if process.returncode == 0 else ""


def handed_over(
    ca_bundle: str, index: HostOrNone, environ: Mapping[str, str], run: Run = ask
) -> Handed:
    """Gather what the matrix asks for: `ca_bundle` is `host`, `none` or a path; `index`
    `host` takes pip's and npm's indexes and the proxies out of `environ` and the tools'
    configuration (asked through `run`). Raises InputError where there is no such bundle."""
    env: dict[str, str] = {}
    warnings: list[str] = []
    ca = _bundle(ca_bundle, environ) if ca_bundle != "none" else None
    apt_lines: list[str] = []
    if ca is not None:
        env |= dict.fromkeys(_CA_VARIABLES, CA_PATH)
        apt_lines.append(f'Acquire::https::CaInfo "{CA_PATH}";')
    if index == "host":
        commands = (("pip", "config", "list"), ("npm", "config", "get", "registry"))
        apt = ("apt-config", "dump", "--format", "%f=%v%n", "Acquire")
        with ThreadPoolExecutor(3) as pool:  # npm and pip take half a second each
            pip, npm, apt_config = pool.map(lambda c: run(c, environ), (*commands, apt))
        env |= dict(_pip(pip, environ, warnings))
        env |= dict(_npm(npm, environ, warnings))
        env |= {n: environ[n] for n in _UV_VARIABLES if _is_remote(environ.get(n, ""), warnings)}
        env |= dict(_proxies(environ, warnings))
        apt_lines += _apt_proxies(apt_config, warnings)
    if apt_lines:
        env["APT_CONFIG"] = APT_CONF_PATH
    return Handed(
        env=env,
        ca=ca,
        apt_conf="\n".join(apt_lines) + "\n" if apt_lines else None,
        secrets=logins_in(env.values()),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _bundle(ca_bundle: str, environ: Mapping[str, str]) -> bytes:
    """The content of the bundle that is meant."""
    if ca_bundle == "host":
        named = (environ[n] for n in _HOST_CA_VARIABLES if environ.get(n))
        path = next((Path(p) for p in (*named, *_HOST_CA_PATHS) if Path(p).is_file()), None)
        if path is None:
            raise InputError(
                "ca_bundle: host: no certificate bundle found on this host; "
                "set SSL_CERT_FILE to it, or install ca-certificates"
            )
    else:
        path = Path(ca_bundle)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"ca_bundle: {path}: {error.strerror}") from error
    if b"BEGIN CERTIFICATE" not in content and b"BEGIN TRUSTED CERTIFICATE" not in content:
        raise InputError(f"ca_bundle: {path}: holds no certificate in PEM format")
    return content


def _pip(listed: str, environ: Mapping[str, str], warnings: list[str]) -> Iterator[tuple[str, str]]:
    """pip's settings as variables. `listed` is what `pip config list` prints: lines
    `global.index-url='…'`, those of the environment as `:env:.index-url='…'`; later wins."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, equals, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if equals and section in ("global", "install", ":env:") and option in _PIP_OPTIONS:
            found[option] = value.strip().strip("'\"").replace("\\n", " ")
    for option in _PIP_OPTIONS:  # also where there is no pip on this host
        if given := environ.get(_pip_variable(option)):
            found[option] = given
    for option, value in found.items():
        kept = value.split() if _PIP_OPTIONS[option] else [value]
        if option.endswith("index-url"):
            kept = [url for url in kept if _is_remote(url, warnings)]
        if kept:
            yield _pip_variable(option), " ".join(kept)


def _pip_variable(option: str) -> str:
    return "PIP_" + option.upper().replace("-", "_")


def _npm(
    printed: str, environ: Mapping[str, str], warnings: list[str]
) -> Iterator[tuple[str, str]]:
    asked = environ.get("npm_config_registry") or environ.get("NPM_CONFIG_REGISTRY")
    registry = asked or printed.strip()
    if registry and _is_remote(registry, warnings):
        yield "npm_config_registry", registry


def _proxies(environ: Mapping[str, str], warnings: list[str]) -> Iterator[tuple[str, str]]:
    """Proxy variables, each in both cases: some tools read only one of them."""
    for name in _PROXIES:
        value = environ.get(name) or environ.get(name.upper())
        if not value:
            continue
        url = value if "://" in value else f"http://{value}"
        if _is_local(url):
            warnings.append(
                f"{name} is {_shown(url)}, which a cell cannot reach: it is not handed over "
                "(let the proxy listen on an address of the container network, and name that)"
            )
            continue
        yield name, value
        yield name.upper(), value
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY")
    if exempt:
        yield "no_proxy", exempt
        yield "NO_PROXY", exempt


def _apt_proxies(dumped: str, warnings: list[str]) -> Iterator[str]:
    """The host's own apt proxies as lines of an apt.conf. One with a password stays here:
    that file becomes part of an image."""
    for option, value in re.findall(r"^(Acquire::https?::Proxy)=(\S+)$", dumped, re.MULTILINE):
        if value == "DIRECT":
            continue
        if _split(value).password is not None or _is_local(value):
            warnings.append(
                f"apt's {option} ({_shown(value)}) is not handed over: it holds a password, "
                "or is local to this host"
            )
            continue
        yield f'{option} "{value}";'


def _is_remote(url: str, warnings: list[str]) -> bool:
    """Whether a cell can reach an index at all. One in a file never is; that is silent, as
    such an index is an addition. One on this host's loopback is worth a warning."""
    if _split(url).scheme not in ("http", "https"):
        return False
    if _is_local(url):
        warnings.append(f"the index {_shown(url)} is local to this host: it is not handed over")
        return False
    return True


def _is_local(url: str) -> bool:
    host = _split(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    """The parts of a URL; of one that is none, empty ones."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _shown(url: str) -> str:
    """A URL without what must not be shown."""
    parts = _split(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def logins_here(mirrors: Iterable[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The logins in a user's mirrors, and in the proxies by which this host's own tools, which
    make base images, reach them."""
    proxies = (environ.get(name, "") for one in _PROXIES for name in (one, one.upper()))
    return logins_in((*mirrors, *proxies))


def logins_in(values: Iterable[str]) -> tuple[str, ...]:
    """Passwords in URLs (and user names before them, which may be tokens), as they are
    written and as they are meant, and the two together."""
    found: list[str] = []
    for url in (word for value in values for word in re.split(r"[\s,]+", value)):
        netloc = _split(url).netloc
        if "@" not in netloc:
            continue
        login = netloc.rpartition("@")[0]
        user, _, password = login.partition(":")
        secret = password or user
        found += [login, secret, unquote(secret)]
    return tuple(dict.fromkeys(s for s in found if s))
