"""The STUN and TURN servers that clients are told, and the credentials for the TURN servers.

With the setting `turn_secret`, each client gets credentials of its own, which end by themselves. A TURN server
that has the same secret checks them without being told of them (coturn: ``use-auth-secret``)::

    user name   the time of expiry in seconds since 1970, a colon, and the user id
    password    HMAC-SHA1 of the user name with the secret, in base64
"""

import base64
import hmac
import time
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote

from sfu.conference.messages import IceServer
from sfu.shell.config.settings import Settings

LIFETIME: Final = 86_400
"""Seconds from making credentials to their expiry. A TURN server checks them again during a call, and a client
gets new ones only when it joins or resumes. So they last longer than calls."""

MAX_USER: Final = 256
"""Characters of the user id in a user name. STUN allows 508 bytes for the whole (RFC 8489 section 14.3)."""

OWN_USER: Final = "trio-sfu"
"""In place of the user id in the credentials of full ICE agents."""


class TurnCredentials(NamedTuple):
    """A user name and its password."""

    username: str
    password: str


def turn_credentials(
    settings: Settings, user_id: str, clock: Callable[[], float] = time.time
) -> TurnCredentials:
    """Return the credentials for the TURN servers. `clock` returns seconds since 1970."""
    if settings.turn_secret is None:
        return TurnCredentials(settings.turn_user or "", settings.turn_password or "")
    # In ASCII, so that no client or server prepares the characters in a way of its own.
    username = f"{int(clock() + LIFETIME)}:{quote(user_id, safe='')[:MAX_USER]}"
    digest = hmac.digest(settings.turn_secret.encode(), username.encode(), "sha1")
    return TurnCredentials(username, base64.b64encode(digest).decode())


def ice_servers(
    settings: Settings, user_id: str, clock: Callable[[], float] = time.time
) -> tuple[IceServer, ...]:
    """Return the STUN and TURN servers for a client."""
    servers = []
    if settings.stun_urls:
        servers.append(IceServer(tuple(map(str, settings.stun_urls))))
    if settings.turn_urls:
        urls = tuple(map(str, settings.turn_urls))
        servers.append(IceServer(urls, *turn_credentials(settings, user_id, clock)))
    return tuple(servers)
