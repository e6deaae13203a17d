"""The programs in examples/ run and print what they promise."""

import re
import runpy
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[1]
EXAMPLES: Final = ROOT / "examples"
VECTORS: Final = ROOT / "tests" / "vectors"


def main_of(name: str) -> Any:
    return runpy.run_path(str(EXAMPLES / name))["main"]


@pytest.mark.parametrize(
    ("name", "arguments", "printed"),
    [
        (
            "streams.py",
            ["rtp/chromium-vp8-opus-echo-nack-rtx.rtpdump"],
            r"(?m)^SSRC 4052499895: 7 packets, \d+ bytes, payload types \[96\]$",
        ),
        (
            "answer.py",
            ["sdp/firefox-offer-audio-video.sdp"],
            r"(?s)^v=0.*a=fingerprint:sha-256 .*m=video 9 UDP/TLS/RTP/SAVPF .*a=recvonly",
        ),
        ("handshake.py", [], r"^ECDHE_\w+\n\w+AES\w+\nboth ends have the same keys: True\n$"),
        (
            "stun.py",
            ["ice/chromium-nominating-check.bin"],
            r"^REQUEST [0-9a-f]{24}\nUSERNAME: ",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".py") else "",
)
def test_example_runs(
    name: str, arguments: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main_of(name)(*(str(VECTORS / argument) for argument in arguments))
    assert re.search(printed, capsys.readouterr().out)


async def test_example_with_a_server_and_two_clients_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await main_of("join.py")()
    assert (
        capsys.readouterr().out == "Ada joins the lobby and finds []\nBob joins the lobby and finds ['Ada']\n"
    )


def test_every_example_is_short_and_in_the_readme() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    assert set(re.findall(r"(?m)^\| `(\w+\.py)", (EXAMPLES / "README.md").read_text())) == programs
    for name in programs:
        assert len((EXAMPLES / name).read_text().splitlines()) <= 60, name
