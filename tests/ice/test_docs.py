import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from sfu.ice import attributes as a
from sfu.ice.agent import DISCONNECTED_AFTER, FAILED_AFTER
from sfu.ice.credentials import Credentials
from sfu.ice.events import IceState, StateChanged
from sfu.ice.lite import IceLiteAgent
from sfu.ice.path import Address, IcePath
from sfu.ice.stun import MessageClass, StunMessage

PAGE = Path(__file__).parents[2] / "docs" / "ice.md"


def test_example_in_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    assert "PathSelected" in capsys.readouterr().out


def test_the_figure_shows_all_transitions_of_an_agent() -> None:
    figure = PAGE.read_text().partition("## States")[2].partition("\n## ")[0]
    drawn = re.findall(r"(?m)^    (\w+) --> (\w+): ", figure)
    gone = {(before.value, after.value) for seed in range(150) for before, after in random_walk(Random(seed))}
    assert gone == set(drawn)
    assert len(drawn) == len(gone)


def random_walk(random: Random) -> Iterator[tuple[IceState, IceState]]:
    """Call an agent at random, but never close it; yield each state with the next."""
    agent = IceLiteAgent(Credentials("ours0", "p" * 22), now=0.0)
    paths = [IcePath(None, Address("192.0.2.1", port), transport="tcp") for port in (5000, 5001)]
    state, now = agent.state, 0.0
    for number in range(1, 60):
        path = random.choice(paths)
        match random.choice(("check", "nominate", "alive", "lose", "time", "time", "describe", "restart")):
            case "check" | "nominate" as verb:
                ours = random.choice([agent.local, agent.pending or agent.local])
                names = ((a.USERNAME, f"{ours.ufrag}:theirs"), (a.USE_CANDIDATE, True))
                check = StunMessage(MessageClass.REQUEST, b"transaction!", names[: 1 + (verb == "nominate")])
                agent.receive(check.serialize(ours.pwd.encode()), path, now)
            case "alive":
                agent.alive(path, now)
            case "lose":
                agent.lose(path)
            case "time":
                now += random.choice((1.0, DISCONNECTED_AFTER, FAILED_AFTER / 3, FAILED_AFTER))
                agent.handle_timeout(now)
            case "describe":
                agent.set_remote(Credentials("theirs", "q" * 22), now)
            case "restart":
                agent.restart(Credentials(f"ours{number}", "p" * 22), now)
        for event in agent.events():
            if isinstance(event, StateChanged):
                yield state, event.state
                state = event.state
