"""What a host hands over to its cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from distromatrix.errors import InputError
from distromatrix.images.layer.hostnet import (
    APT_CONF_PATH,
    CA_PATH,
    Handed,
    handed_over,
    logins_here,
)

PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def host(index: str, environ: dict[str, str], **printed: str) -> Handed:
    """`printed`: what the host's tools print, by the tool's name (`-` written `_`)."""
    return handed_over(
        "none",
        index,  # type: ignore[arg-type]
        environ,
        run=lambda command, _: printed.get(command[0].replace("-", "_"), ""),
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(PEM)
    return path


def test_nothing_asked_for_is_nothing_handed() -> None:
    environ = {"PIP_INDEX_URL": "https://i/", "http_proxy": "http://p:1", "SSL_CERT_FILE": "/x"}
    assert host("none", environ) == Handed()


def test_the_hosts_own_bundle_is_found_through_its_environment(bundle: Path) -> None:
    handed = handed_over("host", "none", {"SSL_CERT_FILE": str(bundle)})
    assert handed.ca == PEM
    assert {handed.env[n] for n in ("SSL_CERT_FILE", "PIP_CERT", "GIT_SSL_CAINFO")} == {CA_PATH}


def test_apt_is_told_of_the_bundle(bundle: Path) -> None:
    handed = handed_over(str(bundle), "none", {})
    assert handed.apt_conf == f'Acquire::https::CaInfo "{CA_PATH}";\n'
    assert handed.env["APT_CONFIG"] == APT_CONF_PATH


def test_a_bundle_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "x"
    wrong.write_text("hello")
    with pytest.raises(InputError, match="holds no certificate"):
        handed_over(str(wrong), "none", {})
    with pytest.raises(InputError, match="No such file"):
        handed_over(str(tmp_path / "absent"), "none", {})


def test_pips_settings_come_from_its_configuration() -> None:
    listed = """\
:env:.disable-pip-version-check='1'
global.extra-index-url='file:///opt/simple https://b.example/simple'
global.index-url='https://a.example/simple'
global.timeout='60'
global.trusted-host='a.example b.example'
"""
    assert host("host", {}, pip=listed).env == {
        "PIP_INDEX_URL": "https://a.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://b.example/simple",
        "PIP_TRUSTED_HOST": "a.example b.example",
        "PIP_TIMEOUT": "60",
    }


def test_pips_environment_beats_its_configuration_and_needs_no_pip() -> None:
    environ = {"PIP_INDEX_URL": "https://env.example/simple"}
    for listed in ("global.index-url='https://a.example/simple'\n", ""):
        assert host("host", environ, pip=listed).env == environ


def test_an_index_in_a_file_stays_at_home() -> None:
    assert host("host", {}, pip="global.index-url='file:///opt/simple'\n").env == {}


def test_an_index_on_this_hosts_loopback_stays_at_home_and_that_is_said() -> None:
    handed = host("host", {"PIP_INDEX_URL": "http://localhost:3141/root/pypi"})
    assert handed.env == {}
    assert "localhost:3141" in handed.warnings[0]


def test_npms_registry_is_handed_over() -> None:
    assert host("host", {}, npm="").env == {}
    env = host("host", {}, npm="https://npm.example/\n").env
    assert env == {"npm_config_registry": "https://npm.example/"}


def test_proxies_come_in_both_cases() -> None:
    env = host("host", {"HTTPS_PROXY": "http://p.example:3128", "no_proxy": ".lan"}).env
    assert env == {
        "https_proxy": "http://p.example:3128",
        "HTTPS_PROXY": "http://p.example:3128",
        "no_proxy": ".lan",
        "NO_PROXY": ".lan",
    }


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:3128", "localhost:3128", "http://[::1]:1"])
def test_a_proxy_on_this_hosts_loopback_stays_at_home_and_that_is_said(proxy: str) -> None:
    handed = host("host", {"http_proxy": proxy})
    assert handed.env == {}
    assert "cannot reach" in handed.warnings[0]


def test_logins_of_mirrors_and_of_this_hosts_proxies_are_secrets_whatever_is_handed_over() -> None:
    found = logins_here(
        ("https://me:p%40ss@m.example/debian", "http://plain.example"),
        {"https_proxy": "http://u:one@p.example", "HTTP_PROXY": "http://u:two@p.example"},
    )
    assert {"p%40ss", "p@ss", "one", "two"} <= set(found)


def test_passwords_in_urls_are_secrets_and_never_in_a_warning() -> None:
    handed = host(
        "host",
        {
            "PIP_INDEX_URL": "https://me:p%40ss@a.example/simple",
            "PIP_EXTRA_INDEX_URL": "https://token123@b.example/simple",
            "http_proxy": "http://u:hidden@127.0.0.1:1",
        },
    )
    assert {"p%40ss", "p@ss", "token123"} <= set(handed.secrets)
    assert "hidden" not in " ".join(handed.warnings)


def test_apts_own_proxy_is_handed_over_but_no_password_goes_into_an_image() -> None:
    dumped = (
        "Acquire::http::Proxy=http://p.example:3142\n"
        "Acquire::https::Proxy=http://u:hidden@p.example:3142\n"
        "Acquire::http::Proxy::local=DIRECT\n"
    )
    handed = host("host", {}, apt_config=dumped)
    assert handed.apt_conf == 'Acquire::http::Proxy "http://p.example:3142";\n'
    assert "hidden" not in str(handed)


def test_what_is_no_url_at_all_is_left_out() -> None:
    environ = {"PIP_INDEX_URL": "https://[broken", "http_proxy": "p.example:1"}
    assert set(host("host", environ).env) == {"http_proxy", "HTTP_PROXY"}
