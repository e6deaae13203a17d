"""Which requests the admin port answers."""

import h11
import pytest

from sfu.shell.config.values import HostPort
from sfu.shell.ops.access import Access

TOKEN = "0123456789abcdef" * 2


def refused(access: Access, host: str, path: str = "/metrics", authorization: str | None = None) -> int | None:
    """Return the status that refuses a request, or `None` if it is answered."""
    headers = [(b"Host", host.encode("latin-1"))]
    if authorization is not None:
        headers.append((b"Authorization", authorization.encode()))
    response = access.refusal(h11.Request(method="GET", target=path, headers=headers), path)
    return None if response is None else int(response.status)


@pytest.mark.parametrize(
    "address", [HostPort("127.0.0.1", 9090), HostPort("::1", 9090), HostPort("Sfu.example", 9090)]
)
@pytest.mark.parametrize("host", ["localhost:9090", "LOCALHOST:9090", "127.0.0.1:9090", "[::1]:9090"])
def test_loopback_names_with_the_port_belong_to_every_admin_port(address: HostPort, host: str) -> None:
    assert refused(Access(address, None), host) is None


@pytest.mark.parametrize(
    ("bound", "host"),
    [
        ("192.0.2.7", "192.0.2.7:9090"),
        ("2001:db8::7", "[2001:db8::7]:9090"),
        ("sfu.internal", "SFU.internal:9090"),
        ("0.0.0.0", "192.0.2.7:9090"),
        ("::", "192.0.2.7:9090"),
        ("::", "[2001:DB8::7]:9090"),
    ],
)
def test_the_bound_host_is_its_own(bound: str, host: str) -> None:
    assert refused(Access(HostPort(bound, 9090), None), host) is None


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "localhost:9091",
        "localhost:",
        "localhost:x",
        "localhost:\xb2",
        "localhost:000000000000000009090",
        "localhost.evil.example:9090",
        "evil.example:9090",
        "evil.example",
        "127.0.0.1.nip.io:9090",
        "user@localhost:9090",
        "::1:9090",
        "[::1:9090",
        "[127.0.0.1]:9090",
        "0x7f.1:9090",
        "[localhost]:9090",
    ],
)
def test_other_hosts_are_refused(bound: str, host: str) -> None:
    access = Access(HostPort(bound, 9090), None)
    assert refused(access, host) == 421
    assert access.refusals == {"host": 1}
    assert refused(access, host, "/healthz") is None


def test_an_address_that_is_not_bound_is_refused() -> None:
    assert refused(Access(HostPort("127.0.0.1", 9090), None), "192.0.2.7:9090") == 421


def test_a_host_without_a_port_means_port_80() -> None:
    assert refused(Access(HostPort("127.0.0.1", 80), None), "localhost") is None
    assert refused(Access(HostPort("::1", 80), None), "[::1]") is None


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"],
)
def test_wrong_tokens_are_refused(authorization: str | None) -> None:
    access = Access(HostPort("127.0.0.1", 9090), TOKEN)
    assert refused(access, "localhost:9090", authorization=authorization) == 401
    assert access.refusals == {"token": 1}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_is_accepted(scheme: str) -> None:
    access = Access(HostPort("127.0.0.1", 9090), TOKEN)
    assert refused(access, "localhost:9090", authorization=f"{scheme} {TOKEN}") is None
    assert not access.refusals
