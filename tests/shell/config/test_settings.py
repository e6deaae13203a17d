"""Settings: their sources, their types, and the error line of each mistake."""

from pathlib import Path

import pytest

from sfu.shell.config.redis_url import RedisAddress
from sfu.shell.config.settings import ConfigError, Settings, as_config_error, load, rows
from sfu.shell.config.urls import HttpUrl
from sfu.shell.config.values import TURN_URLS, HostPort, IceUrl


def test_defaults() -> None:
    settings = load({}, {})
    assert settings == Settings()
    assert settings.http_addr == HostPort("127.0.0.1", 8080)
    assert settings.udp_addr == HostPort("0.0.0.0", 7882)
    assert settings.ice_tcp_addr == HostPort("0.0.0.0", 7881)
    assert settings.announced_ips == ()


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "sfu.toml"
    file.write_text('http_addr = "127.0.0.1:1"\nmax_rooms = 1\nmax_peers_per_room = 1\n')
    environ = {"SFU_HTTP_ADDR": "127.0.0.1:2", "SFU_MAX_ROOMS": "2", "SFU_CONFIG": str(file)}
    settings = load({"http_addr": "127.0.0.1:3", "max_rooms": None}, environ)
    assert settings.http_addr.port == 3
    assert settings.max_rooms == 2
    assert settings.max_peers_per_room == 1
    assert settings.max_tracks_per_peer == Settings().max_tracks_per_peer


def test_file_given_by_flag_wins_over_environment(tmp_path: Path) -> None:
    (tmp_path / "flag.toml").write_text("max_rooms = 7")
    (tmp_path / "env.toml").write_text("max_rooms = 8")
    settings = load({}, {"SFU_CONFIG": str(tmp_path / "env.toml")}, tmp_path / "flag.toml")
    assert settings.max_rooms == 7


def test_empty_environment_variable_is_absent() -> None:
    assert load({}, {"SFU_MAX_ROOMS": ""}) == Settings()


def test_toml_lists(tmp_path: Path) -> None:
    file = tmp_path / "sfu.toml"
    file.write_text('announced_ips = ["192.0.2.1", "2001:DB8::1"]\n')
    assert load({}, {}, file).announced_ips == ("192.0.2.1", "2001:db8::1")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("http_addr", "localhost:0", HostPort("localhost", 0)),
        ("http_addr", "[::]:65535", HostPort("::", 65535)),
        ("udp_addr", "[2001:DB8:0::1]:7", HostPort("2001:db8::1", 7)),
        ("ice_tcp_addr", "[::]:443", HostPort("::", 443)),
        ("ice_tcp_addr", "off", None),
        ("announced_ips", " 192.0.2.1 , 192.0.2.2,", ("192.0.2.1", "192.0.2.2")),
        (
            "allowed_origins",
            "https://Example.org,http://localhost:8080",
            ("https://example.org", "http://localhost:8080"),
        ),
        ("allowed_origins", "*", ("*",)),
        (
            "allowed_origins",
            "https://example.org:443,http://example.org:80,https://example.org:80",
            ("https://example.org", "http://example.org", "https://example.org:80"),
        ),
        (
            "stun_urls",
            "STUN:[2001:DB8::1]",
            (IceUrl("stun", "2001:db8::1", 3478, "udp", "STUN:[2001:DB8::1]"),),
        ),
        ("auth_jwks", "https://Example.org/k", HttpUrl("https", "example.org", 443, "/k")),
        ("log_level", "DEBUG", "debug"),
        ("history_packets", "0", 0),
    ],
)
def test_allowed_values(name: str, text: str, value: object) -> None:
    assert getattr(load({name: text}, {}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("http_addr", "8080"),
        ("http_addr", ":8080"),
        ("http_addr", "127.0.0.1:"),
        ("http_addr", "127.0.0.1:65536"),
        ("http_addr", "127.0.0.1:-1"),
        ("http_addr", "127.0.0.1:٣"),
        ("http_addr", "::1:8080"),
        ("http_addr", "[::1:8080"),
        ("http_addr", "[localhost]:8080"),
        ("http_addr", "example..org:8080"),
        ("http_addr", "x" * 64 + ":8080"),
        ("udp_addr", "localhost:7882"),
        ("ice_tcp_addr", "localhost:7881"),
        ("ice_tcp_addr", "none"),
        ("announced_ips", "0.0.0.0"),
        ("announced_ips", "192.0.2.1,example.org"),
        ("announced_ips", "fe80::1%eth0"),
        ("allowed_origins", "example.org"),
        ("allowed_origins", "https://example.org/path"),
        ("tls_cert", "/does/not/exist"),
        ("tls_cert", "/" + "x" * 1000),
        ("tls_cert", "~no such user/cert.pem"),
        ("auth_jwks", "/does/not/exist"),
        ("auth_jwks", "file:///etc/hosts"),
        ("auth_jwks", "https://"),
        ("log_level", "loud"),
        ("ice_mode", "half"),
        ("stun_urls", "example.org"),
        ("stun_urls", "stun://example.org"),
        ("stun_urls", "turn:example.org"),
        ("stun_urls", "stun:example.org?transport=udp"),
        ("stun_urls", "stun:user@example.org"),
        ("stun_urls", "stun:example.org:0"),
        ("stun_urls", "stun:a b"),
        ("stun_urls", "stun:"),
        ("turn_urls", "turn:a,stun:b"),
        ("turn_urls", "turn:a?transport=sctp"),
        ("turn_urls", "turn:a?protocol=udp"),
        ("turn_urls", "turns:a?transport=udp"),
        ("max_rooms", "0"),
        ("max_rooms", "many"),
        ("max_rooms", "1.5"),
    ],
)
def test_error_of_a_wrong_value_names_setting_value_and_what_is_expected(name: str, text: str) -> None:
    flag = "--" + name.replace("_", "-")
    with pytest.raises(ConfigError) as by_flag:
        load({name: text}, {})
    message = str(by_flag.value)
    assert message.startswith(f"{flag}={text!r}: expected ")
    assert "\n" not in message
    with pytest.raises(ConfigError, match=f"^SFU_{name.upper()}="):
        load({}, {f"SFU_{name.upper()}": text})


def test_wrong_value_in_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sfu.toml"
    file.write_text("max_rooms = true\n")
    with pytest.raises(
        ConfigError, match=r"^max_rooms in .*sfu\.toml='True': expected a whole number from 1 to"
    ):
        load({}, {}, file)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"max_romms = 1\n", "max_romms in .*: unknown setting; expected one of http_addr, "),
        (b"max_rooms =\n", "not TOML"),
        (b"\xff\xfe", "not TOML"),
    ],
)
def test_wrong_file(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "sfu.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=complaint):
        load({}, {}, file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^SFU_CONFIG=.*: cannot be read: No such file"):
        load({}, {}, tmp_path / "absent.toml")


def test_turn_urls() -> None:
    text = "turn:a,turn:b:1?transport=tcp,turns:c,turns:[::1]:2?transport=tcp"
    assert TURN_URLS.parse(text) == (
        IceUrl("turn", "a", 3478, "udp", "turn:a"),
        IceUrl("turn", "b", 1, "tcp", "turn:b:1?transport=tcp"),
        IceUrl("turns", "c", 5349, "tcp", "turns:c"),
        IceUrl("turns", "::1", 2, "tcp", "turns:[::1]:2?transport=tcp"),
    )


def test_turn_servers_require_user_and_password() -> None:
    flags: dict[str, str | None] = {"turn_urls": "turn:example.org"}
    with pytest.raises(ConfigError, match=r"^SFU_TURN_USER is not set: SFU_TURN_URLS requires it"):
        load(flags, {})
    with pytest.raises(ConfigError, match=r"^SFU_TURN_PASSWORD is not set: SFU_TURN_URLS requires it"):
        load(flags | {"turn_user": "me"}, {})
    settings = load(flags | {"turn_user": "me", "turn_password": "the password"}, {})
    assert "the password" not in repr(settings)


@pytest.mark.parametrize("name", ["turn_user", "turn_password"])
def test_a_turn_secret_takes_the_place_of_user_and_password(name: str) -> None:
    flags: dict[str, str | None] = {"turn_urls": "turn:example.org", "turn_secret": "s" * 32}
    assert load(flags, {}).turn_secret == "s" * 32
    assert "s" * 32 not in repr(load(flags, {}))
    with pytest.raises(
        ConfigError, match=f"^SFU_TURN_SECRET is set: cannot be combined with SFU_{name.upper()}$"
    ):
        load(flags | {name: "x"}, {})


def test_relay_policy_requires_a_turn_server() -> None:
    turn = {"turn_urls": "turn:example.org", "turn_user": "me", "turn_password": "secret"}
    for flags in ({"ice_mode": "full"}, turn):
        with pytest.raises(
            ConfigError, match=r"^SFU_ICE_POLICY=relay: requires SFU_ICE_MODE=full and SFU_TURN"
        ):
            load({"ice_policy": "relay", **flags}, {})
    assert load({"ice_policy": "relay", "ice_mode": "full", **turn}, {}).ice_policy == "relay"


def test_certificate_and_key_require_each_other(tmp_path: Path) -> None:
    pem = tmp_path / "a.pem"
    pem.touch()
    with pytest.raises(ConfigError, match=r"^SFU_TLS_KEY is not set: SFU_TLS_CERT requires it"):
        load({"tls_cert": str(pem)}, {})
    with pytest.raises(ConfigError, match=r"^SFU_TLS_CERT is not set: SFU_TLS_KEY requires it"):
        load({"tls_key": str(pem)}, {})


def test_every_default_is_a_valid_value() -> None:
    for row in rows():
        assert row.help.endswith(".")
        if row.default not in (None, ()):
            assert row.value_type.parse(str(row.default)) == row.default


def test_an_os_error_names_the_setting() -> None:
    with (
        pytest.raises(ConfigError, match=r"^SFU_UDP_ADDR=0\.0\.0\.0:7882: Address already in use$"),
        as_config_error("udp_addr", HostPort("0.0.0.0", 7882)),
    ):
        raise OSError(98, "Address already in use")


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    secret = "a secret of thirty-two bytes, or more"
    settings = load({}, {"SFU_AUTH_SECRET": secret})
    assert settings.auth_secret == secret
    assert secret not in repr(settings)
    with pytest.raises(ConfigError) as caught:
        load({"auth_secret": "hunter2"}, {})
    assert str(caught.value).startswith("--auth-secret=***: expected at least 32 bytes")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("text", "value"), [("true", True), ("Off", False), ("1", True), (" no ", False)])
def test_booleans(text: str, value: bool) -> None:
    assert load({}, {"SFU_AUTO_SUBSCRIBE": text}).auto_subscribe is value


def test_text_that_is_neither_true_nor_false() -> None:
    with pytest.raises(ConfigError, match="SFU_AUTO_SUBSCRIBE='maybe': expected true or false"):
        load({}, {"SFU_AUTO_SUBSCRIBE": "maybe"})


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, None),
        (
            {"SFU_REDIS_URL": "redis://:secret@cache:7000/2"},
            RedisAddress("redis", "cache", 7000, db=2, password="secret"),
        ),
        (
            {"SFU_REDIS_URL": "rediss://cache", "SFU_REDIS_PASSWORD": "secret"},
            RedisAddress("rediss", "cache", password="secret"),
        ),
        (
            {"SFU_REDIS_ADDR": "[::1]:7000", "SFU_REDIS_PASSWORD": "secret", "SFU_REDIS_DB": "3"},
            RedisAddress("redis", "::1", 7000, db=3, password="secret"),
        ),
    ],
)
def test_redis_address(environ: dict[str, str], address: RedisAddress | None) -> None:
    settings = load({}, environ)
    assert settings.redis_address == address
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"SFU_REDIS_URL": "redis:/:hunter2@cache"},
            "SFU_REDIS_URL=***: expected redis://[[user]:password@]host[:port][/db], rediss://… for TLS,"
            " or unix://[[user]:password@]/path[?db=N]",
        ),
        (
            {"SFU_REDIS_URL": "redis://cache", "SFU_REDIS_ADDR": "cache:1"},
            "SFU_REDIS_ADDR=cache:1: cannot be combined with SFU_REDIS_URL",
        ),
        (
            {"SFU_REDIS_URL": "redis://cache", "SFU_REDIS_DB": "1"},
            "SFU_REDIS_DB=1: cannot be combined with SFU_REDIS_URL",
        ),
        (
            {"SFU_REDIS_URL": "redis://:hunter2@cache", "SFU_REDIS_PASSWORD": "hunter2"},
            "SFU_REDIS_PASSWORD=***: SFU_REDIS_URL already contains a password",
        ),
        ({"SFU_REDIS_PASSWORD": "hunter2"}, "SFU_REDIS_PASSWORD is set: it requires SFU_REDIS_ADDR"),
        ({"SFU_REDIS_DB": "1"}, "SFU_REDIS_DB is set: it requires SFU_REDIS_ADDR"),
    ],
)
def test_redis_settings_that_contradict_each_other(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load({}, environ)
    assert str(refused.value) == message
