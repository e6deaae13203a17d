"""Deciding what one of our descriptions says on one m-line."""

from dataclasses import dataclass, replace

from sfu.sdp.attributes import ExtMap
from sfu.sdp.capabilities import accepted_extensions, downstream_codecs
from sfu.sdp.codecs import Codec, find, shared
from sfu.sdp.grammar import direction_of
from sfu.sdp.mline import NOTHING_TOLD, MLine, Sender, Told
from sfu.sdp.numbering import ExtensionIds, PayloadTypes


@dataclass(frozen=True, slots=True)
class LocalSection:
    """What one of our descriptions says on one m-line."""

    line: MLine
    codecs: tuple[Codec, ...] = ()
    extensions: tuple[ExtMap, ...] = ()
    sends: bool = False
    receives: bool = False
    sender: Sender | None = None
    """The slot of the line when this was made."""
    told: Told = NOTHING_TOLD
    """What this says about the slot."""


def wish(sender: Sender | None) -> Told:
    """What the client should be told about a slot; no slot and a free slot are told alike."""
    if sender is None or sender.msid is None:
        return NOTHING_TOLD
    return Told(sender.msid, tuple(codec.identity for codec in sender.wanted))


def sendable_codecs(line: MLine, sender: Sender) -> tuple[Codec, ...]:
    """Of the codecs that the client offered, those of the track in the slot, with feedback for sending."""
    offered = [codec for codec in line.codecs if find(sender.wanted, codec)]
    return tuple(
        shared(replace(ours, feedback=ours.feedback & theirs.feedback))
        for ours, theirs in zip(downstream_codecs(line.kind, offered), offered, strict=True)
    )


def answer_section(line: MLine) -> LocalSection:
    """Answer a line: take what the client sends, send where it lets us and a track waits.

    Codecs stay in the client's order, and in its numbers (RFC 3264 section 6.1).
    """
    if line.stopped:
        return LocalSection(line)
    sender = line.sender
    codecs: tuple[Codec, ...] = ()
    if sender is not None and sender.msid is not None and line.remote_receives:
        codecs = sendable_codecs(line, sender)
    sends, receives = bool(codecs), line.receives
    direction = direction_of(sends=sends, receives=receives)
    return LocalSection(
        line,
        codecs if sends and not receives else line.codecs,
        tuple(accepted_extensions(line.kind, line.offered_extensions, direction)),
        sends=sends,
        receives=receives,
        sender=sender,
        told=wish(sender),
    )


def offer_section(line: MLine, payload_types: PayloadTypes, extension_ids: ExtensionIds) -> LocalSection:
    """Offer a line: what the client sends on it as it last offered it, what we send in the client's numbers."""
    if line.stopped:
        return LocalSection(line)
    sender, receives = line.sender, line.receives
    ours = payload_types.assign(line.kind, sender.wanted) if sender else []
    theirs = line.codecs if receives or not ours else ()
    # No clash is possible with a client that keeps to one meaning per number in its BUNDLE.
    taken = {number for codec in theirs for number in codec.numbers}
    ours = [codec for codec in ours if find(theirs, codec) or not codec.numbers & taken]
    sends = bool(sender and sender.msid and ours)
    extensions: dict[str, ExtMap] = {}
    if theirs:
        direction = direction_of(sends=sends, receives=receives)
        accepted = accepted_extensions(line.kind, line.offered_extensions, direction)
        extensions = {extension.uri: extension for extension in accepted}
    for extension in extension_ids.downstream(line.kind) if sender else ():
        extensions.setdefault(extension.uri, extension)
    return LocalSection(
        line,
        (*theirs, *(codec for codec in ours if find(theirs, codec) is None)),
        tuple(extensions.values()),
        sends=sends,
        receives=receives,
        sender=sender,
        told=wish(sender),
    )
