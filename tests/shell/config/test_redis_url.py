"""Redis URLs: which are read, and which are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.shell.config.redis_url import RedisAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("redis://localhost", RedisAddress("redis", "localhost")),
        ("redis://localhost/", RedisAddress("redis", "localhost")),
        ("redis://:secret@10.0.0.1:7000/2", RedisAddress("redis", "10.0.0.1", 7000, db=2, password="secret")),
        ("rediss://me:p%40ss@[::1]:1/", RedisAddress("rediss", "::1", 1, username="me", password="p@ss")),
        ("unix:///run/redis.sock", RedisAddress("unix", path="/run/redis.sock")),
        ("unix://:x@/run/a%20b.sock?db=7", RedisAddress("unix", path="/run/a b.sock", db=7, password="x")),
    ],
)
def test_valid_urls(text: str, address: RedisAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://:password@",
        "redis://localhost:0",
        "redis://localhost:65536",
        "redis://localhost:http",
        "redis://localhost/one",
        "redis://localhost/-1",
        "redis://localhost/1/2",
        "redis://localhost?db=1",
        "redis://localhost#1",
        "redis://[::1",
        "unix://",
        "unix://run/redis.sock",
        "unix:///run/redis.sock?timeout=1",
        "unix:///run/redis.sock?7",
    ],
)
def test_invalid_urls(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://me:secret@localhost", "redis://localhost:6379/0"),
        ("rediss://:secret@[::1]:1/3", "rediss://[::1]:1/3"),
        ("unix://:secret@/run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_the_password_is_not_shown(text: str, shown: str) -> None:
    address = parse_address(text)
    assert str(address) == shown
    assert "secret" not in repr(address)


@given(st.text() | st.text("redis:/@[]%?#0123.").map("redis://".__add__))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert address.port in range(1, 65536)
