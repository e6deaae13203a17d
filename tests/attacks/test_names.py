"""A client cannot look like another one: ids and names have no hidden characters, and the log shows escapes."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from support.records import RECORD

from sfu.conference.envelope import BadMessage, parse
from sfu.conference.grants import Grants
from sfu.conference.identifiers import HIDDEN
from sfu.conference.messages import Join
from sfu.errors import BadPacket
from sfu.shell.auth.tokens import make_token
from sfu.shell.logs import configure, get_logger
from sfu.state.codec import Stored, decode, encode

HIDDEN_CHARACTERS = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e",
    *"\u2060\u2066\u2067\u2068\u2069\ufeff\u00ad\u180e\ufff9\U000e0041",
]
VISIBLE = ["Ada", "Ærø 3", "日本語", "שלום", "مرحبا", "नमस्ते", "🙂👍🏽", "a b", "x'\"<b>&", "-_.:/@#"]
FIELDS = ("roomId", "userId", "name")


def join(**data: str) -> str:
    """Return the join of a client."""
    return json.dumps({"type": "join", "data": {"roomId": "blue", "userId": "ada", "name": "Ada", **data}})


@pytest.mark.parametrize("field", FIELDS)
def test_hidden_characters_are_refused(field: str) -> None:
    """A join with a character that changes or hides what is seen gets error 400, which names the field."""
    for character in HIDDEN_CHARACTERS:
        with pytest.raises(BadMessage, match=f"{field} contains U\\+{ord(character):04X}") as refused:
            parse(join(**{field: f"ad{character}a"}))
        assert str(refused.value).isascii()


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("text", VISIBLE)
def test_writing_of_all_scripts_is_accepted(field: str, text: str) -> None:
    """Characters that are seen are accepted in ids and names, whatever the script."""
    message = parse(join(**{field: text}))
    assert isinstance(message, Join)
    assert text in (message.room_id, message.user_id, message.name)


def test_tokens_with_hidden_characters_are_not_made() -> None:
    """The claims of a token follow the same rule as the join."""
    for room, user in (("blue\u202e", "ada"), ("blue", "a\u200bda")):
        with pytest.raises(ValueError, match="control and invisible characters"):
            make_token("s" * 32, room, user, Grants(), ttl=60)


@pytest.mark.parametrize("field", ["room_id", "user_id", "name"])
@pytest.mark.parametrize("text", ["a\u202eb", "a\x1bb", "x" * 1025])
def test_a_stored_session_follows_the_same_rule(field: str, text: str) -> None:
    """What somebody writes into Redis gets no name into a room that a join could not."""
    document = json.loads(encode(Stored(RECORD, "server", "life", 30.0)))
    document[field] = text
    with pytest.raises(BadPacket, match="state-fields"):
        decode(json.dumps(document).encode())


@pytest.fixture
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    yield
    logging.captureWarnings(False)
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)


@pytest.mark.usefixtures("_restore_logging")
@pytest.mark.parametrize("log_format", ["human", "json"])
def test_a_client_cannot_write_the_log(log_format: str) -> None:
    """What a client sends appears in the log as escapes: no second line, no colour, no change of direction."""
    stream = io.StringIO()
    configure("info", log_format, stream)
    evil = "".join(HIDDEN_CHARACTERS) + "2026-01-01T00:00:00Z [error    ] forged [sfu]"
    logger = get_logger("sfu.attacks")
    logger.info("peer joined", user=evil, more=[evil], kind=ValueError(evil))
    logger.info(evil)
    try:
        raise ValueError(evil)
    except ValueError:
        logger.exception("failed")
    written = stream.getvalue()
    assert not HIDDEN.search(written.replace("\n", ""))
    lines = written.rstrip("\n").split("\n")
    assert sum(not line.startswith("  ") for line in lines) == 3
