"""The commit-msg hook accepts our subjects and says what is wrong with others."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "check_message.py"
mistakes: Callable[[str], list[str]] = runpy.run_path(str(TOOL))["mistakes"]


@pytest.mark.parametrize(
    "message",
    [
        "transport: return the media packet",
        "transport: return the media packet\n\nNobody read the event.\n# a comment of git\n",
        "sfu/rtp, tests: one name for a payload type",
        'Revert "transport: return the media packet"',
        "x: " + "y" * 69,
    ],
)
def test_message_is_accepted(message: str) -> None:
    assert mistakes(message) == []


@pytest.mark.parametrize(
    ("message", "mistake"),
    [
        ("x: " + "y" * 70, "73 characters"),
        ("Return the media packet", "area: what changes"),
        ("transport: return the media packet.", "without a full stop"),
        ("", "area: what changes"),
        ("transport: return it\nNobody read it.", "must be blank"),
    ],
)
def test_message_is_refused(message: str, mistake: str) -> None:
    (found,) = mistakes(message)
    assert mistake in found
