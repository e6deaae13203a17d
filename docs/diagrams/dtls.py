"""Draw the state figures in docs/dtls.md from the handshakes' tables of transitions.

Run as ``python docs/diagrams/dtls.py``: it replaces what stands between each pair of markers in the page.
"""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from sfu.dtls.client import CLIENT_TABLE, ClientState
from sfu.dtls.handshake import message_name
from sfu.dtls.server import SERVER_TABLE, ServerState

PAGE = Path(__file__).parent.parent / "dtls.md"


def camel_case(name: str) -> str:
    """Write ``CLIENT_HELLO`` as the RFCs do: ``ClientHello``."""
    return name.title().replace("_", "")


def figure(rows: Mapping[tuple[Enum, int], Enum], first: list[Enum], last: Enum) -> str:
    """Return a Mermaid state diagram of ``{(state, message type): next state}``."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {state.name}" for state in first]
    lines += [
        f"    {state.name} --> {next_state.name}: {camel_case(message_name(kind))}"
        for (state, kind), next_state in rows.items()
    ]
    lines += [f"    {last.name} --> [*]", "```"]
    return "\n".join(lines)


def figures() -> dict[str, str]:
    """Return each figure by the name in its markers."""
    return {
        "server": figure(
            {key: row.next_state for key, row in SERVER_TABLE.items()},
            [ServerState.CLIENT_HELLO, ServerState.FIRST_CLIENT_HELLO],
            ServerState.CONNECTED,
        ),
        "client": figure(
            {key: row.next_state for key, row in CLIENT_TABLE.items()},
            [ClientState.FIRST_SERVER_HELLO],
            ClientState.CONNECTED,
        ),
    }


def drawn(page: str) -> str:
    """Return the page with every figure drawn anew."""
    for name, text in figures().items():
        begin, end = f"<!-- figure: {name} -->\n", f"<!-- end of figure: {name} -->\n"
        before, opened, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (opened and closed):
            raise SystemExit(f"{PAGE} has no place for the figure {name}")
        page = f"{before}{begin}{text}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
