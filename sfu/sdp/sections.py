"""The content of one m-line of our descriptions."""

from dataclasses import dataclass, replace

from sfu.sdp.attributes import ExtMap
from sfu.sdp.capabilities import accepted_extensions, downstream_codecs
from sfu.sdp.codecs import Codec, find, shared
from sfu.sdp.grammar import direction_of
from sfu.sdp.mline import NOTHING_ANNOUNCED, Announced, MLine, SendSlot
from sfu.sdp.numbering import ExtensionIds, PayloadTypes


@dataclass(frozen=True, slots=True)
class LocalSection:
    """The content of one m-line of one of our descriptions."""

    line: MLine
    codecs: tuple[Codec, ...] = ()
    extensions: tuple[ExtMap, ...] = ()
    sends: bool = False
    receives: bool = False
    slot: SendSlot | None = None
    """The slot of the line when this was made."""
    announced: Announced = NOTHING_ANNOUNCED
    """What this tells the client about the slot."""


def to_announce(slot: SendSlot | None) -> Announced:
    """Return what the client should know about a slot; no slot and a free slot look the same to it."""
    if slot is None or slot.msid is None:
        return NOTHING_ANNOUNCED
    return Announced(slot.msid, tuple(codec.identity for codec in slot.wanted))


def sendable_codecs(line: MLine, slot: SendSlot) -> tuple[Codec, ...]:
    """Return the codecs that the client offered and the slot's track has, with feedback for sending."""
    offered = [codec for codec in line.codecs if find(slot.wanted, codec)]
    return tuple(
        shared(replace(ours, feedback=ours.feedback & theirs.feedback))
        for ours, theirs in zip(downstream_codecs(line.kind, offered), offered, strict=True)
    )


def answer_section(line: MLine) -> LocalSection:
    """Answer a line: accept what the client sends, and send where it accepts a track that is waiting.

    Codecs stay in the client's order and numbers (RFC 3264 section 6.1).
    """
    if line.stopped:
        return LocalSection(line)
    slot = line.slot
    codecs: tuple[Codec, ...] = ()
    if slot is not None and slot.msid is not None and line.remote_receives:
        codecs = sendable_codecs(line, slot)
    sends, receives = bool(codecs), line.receives
    direction = direction_of(sends=sends, receives=receives)
    return LocalSection(
        line,
        codecs if sends and not receives else line.codecs,
        tuple(accepted_extensions(line.kind, line.offered_extensions, direction)),
        sends=sends,
        receives=receives,
        slot=slot,
        announced=to_announce(slot),
    )


def offer_section(line: MLine, payload_types: PayloadTypes, extension_ids: ExtensionIds) -> LocalSection:
    """Offer a line: the client's media as it last offered it, ours in the client's numbers."""
    if line.stopped:
        return LocalSection(line)
    slot, receives = line.slot, line.receives
    ours = payload_types.assign(line.kind, slot.wanted) if slot else []
    theirs = line.codecs if receives or not ours else ()
    # There is no clash with a client that gives each number one meaning in its BUNDLE.
    taken = {number for codec in theirs for number in codec.numbers}
    ours = [codec for codec in ours if find(theirs, codec) or not codec.numbers & taken]
    sends = bool(slot and slot.msid and ours)
    extensions: dict[str, ExtMap] = {}
    if theirs:
        direction = direction_of(sends=sends, receives=receives)
        accepted = accepted_extensions(line.kind, line.offered_extensions, direction)
        extensions = {extension.uri: extension for extension in accepted}
    for extension in extension_ids.downstream(line.kind) if slot else ():
        extensions.setdefault(extension.uri, extension)
    return LocalSection(
        line,
        (*theirs, *(codec for codec in ours if find(theirs, codec) is None)),
        tuple(extensions.values()),
        sends=sends,
        receives=receives,
        slot=slot,
        announced=to_announce(slot),
    )
