"""Draw the state figure of an outgoing stream in docs/media.md from its table of transitions.

Run as ``python docs/diagrams/transport.py``.
"""

from pages import redraw, state_diagram

from sfu.transport.send_state import TRANSITIONS, SendState


def figure() -> str:
    """Return the figure, with one arrow for all events that lead from one state to the same next one."""
    events: dict[tuple[SendState, SendState], list[str]] = {}
    for (state, event), next_state in TRANSITIONS.items():
        events.setdefault((state, next_state), []).append(event.value)
    arrows = [
        (mermaid(state), mermaid(next_state), ", ".join(names)) for (state, next_state), names in events.items()
    ]
    return state_diagram([mermaid(SendState.IDLE)], arrows)


def mermaid(state: SendState) -> str:
    """Return a state's name in a form that Mermaid accepts."""
    return state.value.replace("-", "_")


def pages() -> dict[str, dict[str, str]]:
    """Return the figures of each page by the name in their markers."""
    return {"media.md": {"send stream": figure()}}


if __name__ == "__main__":
    redraw(pages())
