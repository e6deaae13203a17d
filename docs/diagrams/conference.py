"""Draw the state figures of negotiation and of sessions from their tables of transitions.

Run as ``python docs/diagrams/conference.py``.
"""

from pages import redraw, state_diagram

from sfu.conference import negotiation, session


def negotiation_figure() -> str:
    """Who may offer when. An arrow says what happens, and what comes of it."""
    arrows = []
    for (state, event), row in negotiation.TRANSITIONS.items():
        outcome = "" if row.takes else " (ignored)"
        if row.offer_again:
            outcome = " (ours is taken back, and made again)"
        if row.takes or row.counted:
            arrows.append((mermaid(state.value), mermaid(row.next_state.value), event.value + outcome))
    return state_diagram([mermaid(negotiation.NegotiationState.STABLE.value)], arrows)


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
