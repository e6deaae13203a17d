"""The attribute values that WebRTC gives a meaning: one small class each, with its grammar both ways.

Every class has `parse` (raising `ValueError` with what is wrong; the caller knows the line) and a `__str__`
that prints what `parse` reads. `attribute_table.py` says which attribute uses which class.
"""

from typing import NamedTuple, Self, cast

from sfu.sdp.grammar import DIRECTIONS, Direction, hex_pairs, number, rid, token, word


class Group(NamedTuple):
    """``a=group:BUNDLE 0 1`` (RFC 5888, RFC 9143): m-lines that belong together, by mid."""

    semantics: str
    mids: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=group:``."""
        semantics, *mids = text.rstrip(" ").split(" ")
        return cls(token(semantics), tuple(token(mid) for mid in mids))

    def __str__(self) -> str:
        """Print the value after ``a=group:``."""
        return " ".join((self.semantics, *self.mids))


class Fingerprint(NamedTuple):
    """``a=fingerprint:sha-256 AB:CD:…`` (RFC 8122 section 5): hash in lower case, hex in upper case."""

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=fingerprint:``; letter case is normalised."""
        algorithm, _, value = text.partition(" ")
        return cls(token(algorithm).lower(), hex_pairs(value))

    def __str__(self) -> str:
        """Print the value after ``a=fingerprint:``."""
        return f"{self.algorithm} {self.value}"


class Msid(NamedTuple):
    """``a=msid:<stream> <track>`` (RFC 8830): the MediaStream and track that an m-line carries.

    A stream of ``-`` means that the track is in no stream; browsers may leave the track out.
    """

    stream: str
    track: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=msid:``."""
        stream, space, track = text.partition(" ")
        return cls(word(stream), word(track) if space else None)

    def __str__(self) -> str:
        """Print the value after ``a=msid:``."""
        return self.stream if self.track is None else f"{self.stream} {self.track}"


class RtpMap(NamedTuple):
    """``a=rtpmap:111 opus/48000/2`` (RFC 8866 section 6.6); `clock_rate` in Hz."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=rtpmap:``."""
        payload_type, _, encoding = text.partition(" ")
        name, *numbers = encoding.split("/")
        if not 1 <= len(numbers) <= 2:
            raise ValueError("an rtpmap is <payload type> <name>/<clock rate>[/<channels>]")
        channels = number(numbers[1], 1, 255) if len(numbers) == 2 else None
        return cls(number(payload_type, 0, 127), token(name), number(numbers[0], 1, 2**32 - 1), channels)

    def __str__(self) -> str:
        """Print the value after ``a=rtpmap:``."""
        channels = "" if self.channels is None else f"/{self.channels}"
        return f"{self.payload_type} {self.name}/{self.clock_rate}{channels}"


class Fmtp(NamedTuple):
    """``a=fmtp:111 minptime=10;useinbandfec=1`` (RFC 8866 section 6.15); the format defines the text."""

    format: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=fmtp:``."""
        name, _, parameters = text.partition(" ")
        return cls(token(name), parameters)

    def __str__(self) -> str:
        """Print the value after ``a=fmtp:``."""
        return f"{self.format} {self.text}"

    def parameters(self) -> dict[str, str]:
        """The text as ``name=value`` pairs; a part without ``=`` (RED's ``111/111``) has the empty name."""
        found = {}
        for part in self.text.split(";"):
            name, equals, value = part.strip().partition("=")
            if equals:
                found[name.strip()] = value.strip()
            elif name:
                found[""] = name
        return found


class RtcpFb(NamedTuple):
    """``a=rtcp-fb:96 nack pli`` (RFC 4585 section 4.2); payload type None stands for ``*``: all of them."""

    payload_type: int | None
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=rtcp-fb:``."""
        payload_type, _, value = text.partition(" ")
        value = value.strip()  # Pion 3 writes "96 nack " where there is no parameter
        if not value:
            raise ValueError("an rtcp-fb is <payload type> <feedback>")
        return cls(None if payload_type == "*" else number(payload_type, 0, 127), value)

    def __str__(self) -> str:
        """Print the value after ``a=rtcp-fb:``."""
        return f"{'*' if self.payload_type is None else self.payload_type} {self.value}"


class ExtMap(NamedTuple):
    """``a=extmap:9/sendonly urn:… [attributes]`` (RFC 8285 section 8): the number of an RTP header extension.

    No direction means sendrecv. Numbers from 1 to 14 fit one-byte headers, up to 255 two-byte headers.
    """

    id: int
    uri: str
    direction: Direction | None = None
    attributes: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=extmap:``."""
        name, _, rest = text.partition(" ")
        uri, _, attributes = rest.partition(" ")
        identifier, slash, direction = name.partition("/")
        if not uri or (slash and direction not in DIRECTIONS):
            raise ValueError("an extmap is <id>[/<direction>] <uri> [<attributes>]")
        # 4096-4351 are RFC 8285's "not yet numbered" entries: legal to read, never used by us.
        chosen = cast(Direction, direction) if slash else None
        return cls(number(identifier, 1, 4351), uri, chosen, attributes)

    def __str__(self) -> str:
        """Print the value after ``a=extmap:``."""
        direction = "" if self.direction is None else f"/{self.direction}"
        attributes = f" {self.attributes}" if self.attributes else ""
        return f"{self.id}{direction} {self.uri}{attributes}"


class SsrcAttribute(NamedTuple):
    """``a=ssrc:1234 cname:abc`` (RFC 5576 section 4.1): an attribute of one SSRC."""

    ssrc: int
    name: str
    value: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=ssrc:``."""
        ssrc, _, attribute = text.partition(" ")
        name, colon, value = attribute.partition(":")
        return cls(number(ssrc, 0, 2**32 - 1), token(name), value if colon else None)

    def __str__(self) -> str:
        """Print the value after ``a=ssrc:``."""
        return f"{self.ssrc} {self.name}" + ("" if self.value is None else f":{self.value}")


class SsrcGroup(NamedTuple):
    """``a=ssrc-group:FID 1234 5678`` (RFC 5576 section 4.2): FID pairs a stream with its retransmissions."""

    semantics: str
    ssrcs: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=ssrc-group:``."""
        semantics, *ssrcs = text.split(" ")
        return cls(token(semantics), tuple(number(ssrc, 0, 2**32 - 1) for ssrc in ssrcs))

    def __str__(self) -> str:
        """Print the value after ``a=ssrc-group:``."""
        return " ".join((self.semantics, *map(str, self.ssrcs)))


class Rid(NamedTuple):
    """``a=rid:h send [pt=96;max-width=1280]`` (RFC 8851): one RTP stream of an m-line, by name."""

    id: str
    direction: str
    restrictions: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=rid:``."""
        identifier, _, rest = text.partition(" ")
        direction, _, restrictions = rest.partition(" ")
        if direction not in ("send", "recv"):
            raise ValueError("a rid is <id> send|recv [<restrictions>]")
        return cls(rid(identifier), direction, restrictions)

    def __str__(self) -> str:
        """Print the value after ``a=rid:``."""
        return f"{self.id} {self.direction}" + (f" {self.restrictions}" if self.restrictions else "")


SimulcastStreams = tuple[tuple[str, ...], ...]
"""Streams of a simulcast, best first; each a choice of rids, the preferred one first; ``~`` marks paused."""


class Simulcast(NamedTuple):
    """``a=simulcast:send h;m,x;~l recv a`` (RFC 8853 section 5.1)."""

    send: SimulcastStreams = ()
    recv: SimulcastStreams = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value after ``a=simulcast:``."""
        words = text.split(" ")
        found: dict[str, SimulcastStreams] = {}
        for direction, streams in zip(words[::2], words[1::2], strict=False):
            if direction not in ("send", "recv") or direction in found:
                raise ValueError("a simulcast is send <rids> and/or recv <rids>")
            found[direction] = tuple(
                tuple("~" * name.startswith("~") + rid(name.removeprefix("~")) for name in choice.split(","))
                for choice in streams.split(";")
            )
        if not found or len(words) % 2:
            raise ValueError("a simulcast is send <rids> and/or recv <rids>")
        return cls(found.get("send", ()), found.get("recv", ()))

    def __str__(self) -> str:
        """Print the value after ``a=simulcast:``."""
        parts = []
        for direction, streams in (("send", self.send), ("recv", self.recv)):
            if streams:
                parts.append(f"{direction} {';'.join(','.join(choice) for choice in streams)}")
        return " ".join(parts)
