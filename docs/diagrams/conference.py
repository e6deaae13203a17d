"""Draw the state figures of negotiation and of sessions from their tables of transitions.

Run as ``python docs/diagrams/conference.py``.
"""

from pages import redraw, state_diagram

from sfu.conference import negotiation, session
from sfu.sdp import SignalingState


def negotiation_figure() -> str:
    """Who may offer when. An arrow says what happens, and what the server does."""
    stable, offered = SignalingState.STABLE, SignalingState.HAVE_LOCAL_OFFER
    arrows = [(mermaid(stable.value), mermaid(offered.value), "the server offers")]
    for (state, event), row in negotiation.TRANSITIONS.items():
        after = stable if row.rolls_back or row.applies else state
        outcome = "" if row.applies else " (ignored)"
        if row.rolls_back:
            outcome = " (the server rolls its offer back and offers again)"
        if row.applies or row.counted:
            arrows.append((mermaid(state.value), mermaid(after.value), event.value + outcome))
    return state_diagram([mermaid(stable.value)], arrows)


def session_figure() -> str:
    """Where a session stands."""
    arrows = [
        (state.value, next_state.value, event.value)
        for (state, event), next_state in session.TRANSITIONS.items()
    ]
    return state_diagram([session.SessionState.ACTIVE.value], arrows, [session.SessionState.ENDED.value])


def mermaid(name: str) -> str:
    """Return a name that Mermaid takes for a state."""
    return name.replace("-", "_")


def pages() -> dict[str, dict[str, str]]:
    """Return the figures of each page by the name in their markers."""
    return {
        "negotiation.md": {"negotiation": negotiation_figure()},
        "sessions.md": {"session": session_figure()},
    }


if __name__ == "__main__":
    redraw(pages())
