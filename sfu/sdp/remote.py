"""Reading the client's descriptions in the context of the session (RFC 3264, RFC 9143, RFC 9429).

Nothing here changes the session: offers become new `MLine`s, and after an error everything is as before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sfu.sdp.attributes import ExtMap, Rid
from sfu.sdp.capabilities import EXTENSIONS_BY_URI, KINDS, accepted_extensions, upstream_codecs
from sfu.sdp.codecs import Codec, codecs_of, shared
from sfu.sdp.errors import SdpError
from sfu.sdp.grammar import direction_of, receives, sends
from sfu.sdp.mline import MLine, make_receiver
from sfu.sdp.model import MediaDescription, SessionDescription
from sfu.sdp.sections import LocalSection

PROTOCOL = "UDP/TLS/RTP/SAVPF"
"""The protocol of our own m-lines (RFC 5764 section 8)."""

MAX_RIDS = 8
"""Encodings accepted of one simulcast. Browsers make three."""

PROTOCOLS = frozenset({PROTOCOL, "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVP",
                       "RTP/SAVPF", "RTP/SAVP"})  # fmt: skip
"""RTP over DTLS-SRTP in all the spellings that RFC 9429 section 5.1.2 requires answerers to accept."""


def read_offer(
    description: SessionDescription,
    before: Sequence[MLine],
    *,
    simulcast: bool,
    our_offer_unconfirmed: bool,
    unconfirmed: frozenset[int],
    retransmitted: bool,
) -> tuple[list[MLine], frozenset[int]]:
    """Return the m-lines as an offer would make them, and the places of those that it leaves unconfirmed.

    M-lines that we do not accept are stopped. `our_offer_unconfirmed` and `unconfirmed` are `offer` and `lines`
    of `sfu.sdp.open_exchange.Unconfirmed`. If an offer of ours is unconfirmed, the client may have applied it,
    stopped lines in its lost answer, and use their places for others now. Unconfirmed lines may be gone. An
    offer that is the last one again (`retransmitted`) does not show that our answer to it has arrived.

    Raises `SdpError` for an offer that breaks the rules, or lacks what an SFU needs.
    """
    while len(description.media) < len(before) and len(before) - 1 in unconfirmed:
        before = before[:-1]
    if len(description.media) < len(before):
        # RFC 3264 section 8: the m-lines of earlier descriptions stay, possibly stopped.
        detail = f"{len(before)} m-lines were negotiated, {len(description.media)} are left"
        raise SdpError("sdp-mismatch", detail)
    bundle = set(description.bundle())
    seen: set[str] = set()
    lines: list[MLine] = []
    still_unconfirmed: set[int] = set()
    for index, media in enumerate(description.media):
        if media.mid is not None:
            if media.mid in seen:
                raise SdpError("sdp-mismatch", f"mid {media.mid!r} stands on two m-lines", media.line)
            seen.add(media.mid)
        previous = before[index] if index < len(before) else None
        if media.stopped:
            if previous is None or not previous.stopped or (index in unconfirmed and retransmitted):
                still_unconfirmed.add(index)
            lines.append(_stopped(media, previous))
            continue
        may_be_another = our_offer_unconfirmed or index in unconfirmed
        if previous is not None and (previous.stopped or (may_be_another and previous.mid != media.mid)):
            previous = None  # a recycled line is a new one (RFC 9429 section 5.2.2)
        if previous is not None and (previous.mid, previous.kind) != (media.mid, media.kind):
            detail = f"the m-line was {previous.kind} with mid {previous.mid!r}"
            raise SdpError("sdp-mismatch", detail, media.line)
        lines.append(_read_line(description, media, previous, bundle, simulcast=simulcast))
        if previous is None or (index in unconfirmed and retransmitted):
            still_unconfirmed.add(index)
    return lines, frozenset(still_unconfirmed)


def _stopped(media: MediaDescription, previous: MLine | None) -> MLine:
    # A stopped line may come without attributes, so its mid may be unknown.
    slot = previous.slot if previous else None
    return MLine(media.mid or "", media.kind, media.protocol, media.formats, stopped=True, slot=slot)


def _read_line(
    description: SessionDescription,
    media: MediaDescription,
    previous: MLine | None,
    bundle: set[str],
    *,
    simulcast: bool,
) -> MLine:
    allow_mixed = media.extmap_allow_mixed
    media = description.effective(media)
    codecs: tuple[Codec, ...] = ()
    if media.kind in KINDS and media.protocol in PROTOCOLS:
        codecs = tuple(upstream_codecs(media.kind, codecs_of(media)))
    if not codecs or (bundle and media.mid is not None and media.mid not in bundle):
        return _stopped(media, previous)
    if not bundle:
        raise SdpError("sdp-unsupported", "no BUNDLE group: all m-lines share one transport here", media.line)
    if media.mid is None:
        raise SdpError("sdp-unsupported", "an m-line without a mid cannot be bundled", media.line)
    if not media.rtcp_mux:
        raise SdpError("sdp-unsupported", "no rtcp-mux: RTP and RTCP share one transport here", media.line)
    line = MLine(
        mid=media.mid,
        kind=media.kind,
        protocol=media.protocol,
        codecs=codecs,
        offered_extensions=_known_extensions(media),
        rids=offered_rids(media, simulcast=simulcast),
        simulcast=media.simulcast is not None,
        rtcp_rsize=media.rtcp_rsize,
        allow_mixed=allow_mixed,
        remote_receives=receives(media.direction),
        slot=previous.slot if previous else None,
    )
    if sends(media.direction) or (previous is not None and previous.receiver is not None):
        direction = direction_of(sends=False, receives=sends(media.direction))
        extensions = accepted_extensions(media.kind, line.offered_extensions, direction)
        line.receiver = make_receiver(media.mid, media, codecs, extensions, line.rids)
    return line


def _known_extensions(media: MediaDescription) -> tuple[ExtMap, ...]:
    known: dict[str, ExtMap] = {}
    for entry in media.extensions:
        row = EXTENSIONS_BY_URI.get(entry.uri)
        if row is not None:
            # Our own string instead of an equal one, because the session keeps it.
            known.setdefault(row.uri, ExtMap(entry.id, row.uri, entry.direction))
    return tuple(known.values())


def offered_rids(media: MediaDescription, *, simulcast: bool) -> tuple[Rid, ...]:
    """The encodings that we accept of a simulcast offer (RFC 8853 section 5.3), best first.

    The first of several alternatives counts. Without `simulcast` only the first encoding is accepted, the best
    one in the order of the offer: a forwarder that cannot choose among encodings must not receive several.
    """
    named = {rid.id: rid for rid in media.rids if rid.direction == "send"}
    if media.simulcast is None:
        wanted = list(named)
    else:
        wanted = [choices[0].removeprefix("~") for choices in media.simulcast.send]
    rids = [named[name] for name in dict.fromkeys(wanted) if name in named][:MAX_RIDS]
    return tuple(rids if simulcast else rids[:1])


def transport_order(description: SessionDescription, lines: Sequence[MLine]) -> list[MediaDescription]:
    """Return the bundled m-lines of a description in the order in which they describe the transport.

    Accepted lines come first, in the order of the group. Then come rejected ones: an offer may describe the
    transport only on its tagged line, even if that line is rejected.
    """
    rank = {mid: position for position, mid in enumerate(description.bundle())}
    entries = [
        (line.stopped, rank[media.mid], description.effective(media))
        for media, line in zip(description.media, lines, strict=True)
        if media.mid in rank
    ]
    return [media for _, _, media in sorted(entries, key=lambda entry: entry[:2])]


@dataclass(frozen=True, slots=True)
class AnsweredLine:
    """What an answer makes of one m-line of our offer."""

    line: MLine
    sent_codecs: tuple[Codec, ...] = ()
    """What the client accepts on our slot, in its own numbers; empty where it does not receive."""
    extensions: tuple[ExtMap, ...] = ()
    """Those of our offer that were accepted, as we see them."""


def read_answer(answer: SessionDescription, offered: Sequence[LocalSection]) -> list[AnsweredLine]:
    """Read an answer to what we offered, line by line. Raises `SdpError` where it does not fit."""
    if len(answer.media) != len(offered):
        detail = f"{len(offered)} m-lines were offered, {len(answer.media)} are answered"
        raise SdpError("sdp-mismatch", detail)
    bundle = set(answer.bundle())
    return [
        _read_answer_line(answer.effective(media), section, bundle)
        for media, section in zip(answer.media, offered, strict=True)
    ]


def _read_answer_line(media: MediaDescription, section: LocalSection, bundle: set[str]) -> AnsweredLine:
    _check_answer_line(media, section, bundle)
    line = section.line.copy()
    if media.stopped:
        line.stopped = True
        line.receiver = None
        line.formats = media.formats
        return AnsweredLine(line)
    offered = {codec.identity: codec for codec in section.codecs}
    # An answer may add formats of its own (RFC 3264 section 6.1); what we did not offer is not used.
    accepted = [
        shared(replace(codec, name=ours.name, feedback=codec.feedback & ours.feedback))
        for codec in codecs_of(media)
        if (ours := offered.get(codec.identity)) is not None
    ]
    if not accepted:
        raise SdpError("sdp-mismatch", "an accepted m-line has none of the codecs of the offer", media.line)
    kept = {(extension.id, extension.uri) for extension in media.extensions}
    extensions = tuple(entry for entry in section.extensions if (entry.id, entry.uri) in kept)
    if section.sends:
        line.remote_receives = receives(media.direction)
    if section.receives:
        line.receiver = make_receiver(line.mid, media, accepted, extensions, line.rids)
    sent = []
    if section.sends and receives(media.direction):
        sent = [codec for codec in accepted if codec.identity in section.announced.codecs]
    return AnsweredLine(line, tuple(sent), extensions)


def _check_answer_line(media: MediaDescription, section: LocalSection, bundle: set[str]) -> None:
    line = section.line
    if media.kind != line.kind or (media.mid != line.mid and not media.stopped):
        raise SdpError("sdp-mismatch", f"the offer has {line.kind} with mid {line.mid!r} here", media.line)
    if media.stopped:
        return
    if line.stopped:
        raise SdpError("sdp-mismatch", "the answer takes a line that was offered as stopped", media.line)
    if not media.rtcp_mux:
        raise SdpError("sdp-unsupported", "the answer has no rtcp-mux", media.line)
    if media.mid not in bundle:
        raise SdpError("sdp-unsupported", "an accepted m-line is not in the BUNDLE group", media.line)
    unasked = sends(media.direction) and not section.receives
    if unasked or (receives(media.direction) and not section.sends):
        raise SdpError("sdp-mismatch", f"the direction {media.direction} does not fit the offer's", media.line)
