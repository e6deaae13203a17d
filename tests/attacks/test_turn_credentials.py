"""TURN credentials are for one user and end; the secret that makes them stays at the servers."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from support.coturn import coturn
from support.full_ice_agent import ours
from support.log_capture import capture_logs

from sfu.shell.config.settings import Settings
from sfu.shell.config.values import TURN_URLS
from sfu.shell.media import turn
from sfu.shell.media.turn import LIFETIME, MAX_USER, ice_servers

SECRET = "0123456789abcdef" * 2
SETTINGS = Settings(turn_urls=TURN_URLS.parse("turn:turn.example.org"), turn_secret=SECRET)
NOW = 1_790_000_000.5


def test_the_credentials_are_those_of_the_scheme() -> None:
    """The user name is the expiry and the user id; the password is its HMAC-SHA1 with the secret."""
    [server] = ice_servers(SETTINGS, "ada", lambda: NOW)
    assert server.username == f"{1_790_000_000 + LIFETIME}:ada"
    digest = hmac.new(SECRET.encode(), server.username.encode(), hashlib.sha1).digest()
    assert server.credential == base64.b64encode(digest).decode()
    assert SECRET not in repr(server)


@pytest.mark.parametrize("user", ["a:b", "9999999999:root", "\U0001f642" * 128, "x" * 1024, 'a b%"'])
def test_a_user_id_cannot_move_the_expiry_or_break_the_name(user: str) -> None:
    """Whatever user id a client chooses, the name begins with the server's expiry and is short ASCII."""
    [server] = ice_servers(SETTINGS, user, lambda: NOW)
    assert server.username is not None
    expiry, _, name = server.username.partition(":")
    assert expiry == str(1_790_000_000 + LIFETIME)
    assert ":" not in name
    assert server.username.isascii()
    assert len(name) <= MAX_USER


def test_two_users_get_different_passwords() -> None:
    """A password of one user does not fit another user's name."""
    [one], [other] = (ice_servers(SETTINGS, user, lambda: NOW) for user in ("ada", "bob"))
    assert one.credential != other.credential


@pytest.mark.parametrize(
    ("lifetime", "secret", "kinds"),
    [(LIFETIME, SECRET, ["relay"]), (-1, SECRET, []), (LIFETIME, SECRET[1:] + "x", [])],
)
async def test_a_turn_server_takes_them_until_they_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lifetime: int, secret: str, kinds: list[str]
) -> None:
    """Coturn accepts valid credentials, and refuses expired ones and those of another secret."""
    monkeypatch.setattr(turn, "LIFETIME", lifetime)
    with capture_logs() as log:
        async with coturn(tmp_path, secret=SECRET) as server:
            settings = {
                "ice_policy": "relay",
                "turn_urls": TURN_URLS.parse(server.turn()),
                "turn_secret": secret,
            }
            async with ours(**settings) as running:
                local = await running.gather()
                assert [one.type for one in running.found(local.ufrag)] == kinds
    assert [entry["event"] for entry in log if entry["log_level"] == "warning"] == (
        [] if kinds else ["TURN server not usable"]
    )
    assert secret not in str(log)
