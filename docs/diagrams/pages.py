"""Put figures into pages: each replaces what stands between its pair of markers."""

from collections.abc import Iterable, Mapping
from pathlib import Path

DOCS = Path(__file__).parent.parent


def state_diagram(
    first: Iterable[str], arrows: Iterable[tuple[str, str, str]], last: Iterable[str] = ()
) -> str:
    """Return a Mermaid state diagram of ``(state, next state, what leads there)``."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {state}" for state in first]
    lines += [f"    {state} --> {next_state}: {event}" for state, next_state, event in arrows]
    lines += [f"    {state} --> [*]" for state in last]
    return "\n".join([*lines, "```"])


def drawn(page: str, figures: Mapping[str, str]) -> str:
    """Return the page with every figure, by the name in its markers, drawn anew."""
    for name, text in figures.items():
        begin, end = f"<!-- figure: {name} -->\n", f"<!-- end of figure: {name} -->\n"
        before, opened, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (opened and closed):
            raise SystemExit(f"the page has no place for the figure {name}")
        page = f"{before}{begin}{text}\n{end}{after}"
    return page


def redraw(pages: Mapping[str, Mapping[str, str]]) -> None:
    """Draw the figures of each page of docs/ anew."""
    for name, figures in pages.items():
        path = DOCS / name
        path.write_text(drawn(path.read_text(), figures))
