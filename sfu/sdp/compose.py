"""Writing our descriptions: m-lines and whole offers and answers from what has been decided."""

from collections.abc import Sequence
from typing import NamedTuple

from sfu.sdp.attributes import Fingerprint, Group, Msid, Rid, Simulcast, SsrcAttribute, SsrcGroup
from sfu.sdp.codecs import Codec, describe
from sfu.sdp.grammar import direction_of
from sfu.sdp.mline import SendSlot
from sfu.sdp.model import MediaDescription, Origin, SessionDescription
from sfu.sdp.sections import LocalSection
from sfu.sdp.transport import LocalTransport

NO_ADDRESS = ("c", "IN IP4 0.0.0.0")
DISCARD_PORT = 9
"""With the address 0.0.0.0 the default destination of an agent whose candidates say where it is: what it gave
as default is then never compared with them (RFC 8840 section 4.1.1)."""


class _Names(NamedTuple):
    msids: tuple[Msid, ...] = ()
    ssrc_groups: tuple[SsrcGroup, ...] = ()
    ssrc_attributes: tuple[SsrcAttribute, ...] = ()


def _names(slot: SendSlot, codecs: Sequence[Codec], *, sends: bool) -> _Names:
    """A slot's SSRCs, and its msid while it sends; the SSRC for retransmissions where these were negotiated.

    The msid stands twice: older clients look for it beside the SSRC. The SSRCs stand while the slot is
    inactive, too: libwebrtc drops a stream that a description no longer names, and when the same SSRC returns,
    it makes another one whose pictures go nowhere, since for its receiver the SSRC has never changed.
    """
    ssrcs = [slot.ssrc]
    groups: tuple[SsrcGroup, ...] = ()
    if slot.rtx_ssrc is not None and any(codec.rtx_payload_type is not None for codec in codecs):
        ssrcs.append(slot.rtx_ssrc)
        groups = (SsrcGroup("FID", tuple(ssrcs)),)
    msids = (slot.msid,) if sends and slot.msid else ()
    said = (("cname", slot.cname), *(("msid", str(msid)) for msid in msids))
    attributes = tuple(SsrcAttribute(ssrc, name, value) for ssrc in ssrcs for name, value in said)
    return _Names(msids, groups, attributes)


def compose(
    sections: Sequence[LocalSection],
    transport: LocalTransport,
    *,
    setup: str,
    origin: Origin,
    bundle: Sequence[str],
    allow_mixed: bool,
) -> SessionDescription:
    """Print a whole description; `bundle` gives the order of the BUNDLE group, of which live lines are kept."""
    live = {section.line.mid for section in sections if not section.line.stopped}
    mids = tuple(mid for mid in dict.fromkeys(bundle) if mid in live)
    tagged = mids[0] if mids else None
    return SessionDescription(
        origin=origin,
        other_lines=(("t", "0 0"),),
        groups=(Group("BUNDLE", mids),) if mids else (),
        ice_lite=transport.lite,
        extmap_allow_mixed=allow_mixed,
        others=(("msid-semantic", " WMS *"),),
        media=tuple(
            describe_section(section, transport, setup, tagged=section.line.mid == tagged)
            for section in sections
        ),
    )


def describe_section(
    section: LocalSection, transport: LocalTransport, setup: str, *, tagged: bool
) -> MediaDescription:
    """Print one m-line; the tagged line alone has the candidates (RFC 9143 section 7.1.3)."""
    line = section.line
    if line.stopped:
        return MediaDescription(
            kind=line.kind,
            port=0,
            protocol=line.protocol,
            formats=line.formats,
            mid=line.mid or None,
            direction="inactive",
            other_lines=(NO_ADDRESS,),
        )
    codecs = describe(section.codecs)
    rids = tuple(Rid(rid.id, "recv", rid.restrictions) for rid in line.rids) if section.receives else ()
    recv = tuple((rid.id,) for rid in rids)
    names = _names(section.slot, section.codecs, sends=section.sends) if section.slot else _Names()
    return MediaDescription(
        kind=line.kind,
        port=DISCARD_PORT,
        protocol=line.protocol,
        formats=codecs.formats,
        mid=line.mid,
        direction=direction_of(sends=section.sends, receives=section.receives),
        ice_ufrag=transport.ufrag,
        ice_pwd=transport.pwd,
        ice_options=None if transport.lite else ("trickle",),
        fingerprints=(Fingerprint.parse(transport.fingerprint),),
        setup=setup,
        candidates=tuple(text.removeprefix("candidate:") for text in transport.candidates) if tagged else (),
        end_of_candidates=tagged and transport.complete,
        extmap_allow_mixed=line.allow_mixed,
        extensions=section.extensions,
        rtcp_mux=True,
        rtcp_rsize=line.rtcp_rsize,
        rtpmaps=codecs.rtpmaps,
        fmtps=codecs.fmtps,
        rtcp_feedback=codecs.rtcp_feedback,
        rids=rids,
        simulcast=Simulcast(recv=recv) if line.simulcast and recv else None,
        msids=names.msids,
        ssrc_groups=names.ssrc_groups,
        ssrc_attributes=names.ssrc_attributes,
        other_lines=(NO_ADDRESS,),
    )
