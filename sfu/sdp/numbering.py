"""Numbers that hold for a whole BUNDLE: payload types and header-extension ids.

In a BUNDLE one payload type means one codec with one set of parameters, and one id one extension, in every
m-line of both sides (RFC 9143 section 8.1, RFC 8285 section 6). The client's numbers are learned from its
descriptions and win over ours. What the client never numbered gets Chromium's usual number if that is free,
otherwise any free one.
"""

from collections.abc import Iterable
from dataclasses import replace

from sfu.sdp.attributes import ExtMap
from sfu.sdp.capabilities import EXTENSIONS, EXTENSIONS_BY_URI, KINDS, MAX_ID, codec_row, usual_codec
from sfu.sdp.codecs import Codec, Identity, codecs_of, shared
from sfu.sdp.grammar import receives
from sfu.sdp.model import SessionDescription

DYNAMIC = (*range(96, 128), *range(35, 64))
"""Payload types for free choice, in order: the dynamic range, then those that RFC 3551 section 3
allows as a fallback. rtcp-mux excludes 64 to 95 (RFC 5761 section 4)."""

OPUS = Codec(111, "opus", 48000, 2)
RED = Codec(63, "red", 48000, 2).identity


class PayloadTypes:
    """The codec of each payload type in this session."""

    def __init__(self) -> None:
        self._codecs: dict[Identity, Codec] = {}
        self._taken: set[int] = set()

    def learn(self, description: SessionDescription) -> None:
        """Learn the client's numbers; they replace older ones that clash."""
        taken = {
            int(name)
            for media in description.media
            if not media.stopped
            for name in media.formats
            if len(name) <= 3 and name.isascii() and name.isdigit()
        }
        codecs: dict[Identity, Codec] = {}
        used: set[int] = set()
        for media in description.media:
            for codec in codecs_of(media) if not media.stopped else ():
                # If a client breaks the rule, the first meaning of a number counts; its other codecs get other
                # numbers.
                if codec_row(media.kind, codec) and codec.identity not in codecs and not used & codec.numbers:
                    codecs[codec.identity] = codec
                    used |= codec.numbers
        for identity, codec in self._codecs.items():
            # RED names other payload types in its parameters: it gets a new number when it is needed again.
            if identity not in codecs and not taken & codec.numbers and identity != RED:
                codecs[identity] = codec
                used |= codec.numbers
        self._codecs = codecs
        self._taken = taken | used

    def assign(self, kind: str, wanted: Iterable[Codec]) -> list[Codec]:
        """Return the codecs in this session's numbers, without those for which no number is left.

        Codecs that the client knows get the client's parameters: these say what it accepts, and they must be
        equal in all m-lines. Feedback is that of `wanted`.
        """
        found: dict[Identity, Codec] = {}
        for codec in wanted:
            number = self._codecs.get(codec.identity) or self._new(kind, codec)
            if number is not None:
                found.setdefault(codec.identity, shared(replace(number, feedback=codec.feedback)))
        return list(found.values())

    def _new(self, kind: str, wanted: Codec) -> Codec | None:
        row = codec_row(kind, wanted)
        if row is None:
            return None
        codec = usual_codec(row, wanted)
        if codec.identity == RED:
            opus = (self._codecs.get(OPUS.identity) or self._new(kind, OPUS) or OPUS).payload_type
            codec = replace(codec, parameters={"": f"{opus}/{opus}"})
        if codec.numbers & self._taken:
            free = [number for number in DYNAMIC if number not in self._taken]
            needed = len(codec.numbers)
            if len(free) < needed:
                return None
            rtx = free[1] if needed > 1 else None
            codec = replace(codec, payload_type=free[0], rtx_payload_type=rtx)
        self._codecs[codec.identity] = codec
        self._taken |= codec.numbers
        return codec


class ExtensionIds:
    """The extension of each header-extension id in this session."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._taken: set[int] = set()
        self._known: dict[str, set[str]] = {}

    def learn(self, description: SessionDescription) -> None:
        """Learn the client's ids; they replace older ones that clash."""
        ids: dict[str, int] = {}
        taken: set[int] = set()
        for media in description.media:
            if media.kind in KINDS and not media.stopped:
                known = self._known.setdefault(media.kind, set())
                for extension in (*description.extensions, *media.extensions):
                    taken.add(extension.id)
                    row = EXTENSIONS_BY_URI.get(extension.uri)
                    if row is not None:
                        ids.setdefault(row.uri, extension.id)
                        if receives(extension.direction):
                            known.add(row.uri)
        for uri, number in self._ids.items():
            if number not in taken:
                ids.setdefault(uri, number)
        self._ids = ids
        self._taken = taken.union(ids.values())

    def downstream(self, kind: str) -> list[ExtMap]:
        """Return the extensions to offer where we send: those that the client offered for this kind."""
        known = self._known.get(kind)
        rows = (row for row in EXTENSIONS if kind in row.downstream)
        numbered = ((self._assign(row.uri), row.uri) for row in rows if known is None or row.uri in known)
        # If a client gives one id two meanings, our answers repeat both; our offers never do.
        by_id = {number: uri for number, uri in numbered if number is not None}
        return [ExtMap(number, uri) for number, uri in by_id.items()]

    def _assign(self, uri: str) -> int | None:
        if uri not in self._ids:
            usual = EXTENSIONS_BY_URI[uri].usual
            free = next(
                (number for number in (usual, *range(MAX_ID, 0, -1)) if number not in self._taken), None
            )
            if free is None:
                return None
            self._ids[uri] = free
            self._taken.add(free)
        number = self._ids[uri]
        return number if number <= MAX_ID else None
