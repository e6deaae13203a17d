"""Draw the state figures in docs/dtls.md from the handshakes' tables of transitions.

Run as ``python docs/diagrams/dtls.py``.
"""

from collections.abc import Mapping
from enum import Enum

from pages import redraw, state_diagram

from sfu.dtls.client import ClientHandshake, ClientState
from sfu.dtls.handshake import message_name
from sfu.dtls.server import ServerHandshake, ServerState


def camel_case(name: str) -> str:
    """Write ``CLIENT_HELLO`` as the RFCs do: ``ClientHello``."""
    return name.title().replace("_", "")


def figure(rows: Mapping[tuple[Enum, int], Enum], first: list[Enum], last: Enum) -> str:
    """Return a state diagram of ``{(state, message type): next state}``."""
    arrows = [
        (state.name, next_state.name, camel_case(message_name(kind)))
        for (state, kind), next_state in rows.items()
    ]
    return state_diagram([state.name for state in first], arrows, [last.name])


def pages() -> dict[str, dict[str, str]]:
    """Return the figures of each page by the name in their markers."""
    return {
        "dtls.md": {
            "server": figure(
                {key: row.next_state for key, row in ServerHandshake.table.items()},
                [ServerState.CLIENT_HELLO, ServerState.FIRST_CLIENT_HELLO],
                ServerState.CONNECTED,
            ),
            "client": figure(
                {key: row.next_state for key, row in ClientHandshake.table.items()},
                [ClientState.FIRST_SERVER_HELLO],
                ClientState.CONNECTED,
            ),
        }
    }


if __name__ == "__main__":
    redraw(pages())
