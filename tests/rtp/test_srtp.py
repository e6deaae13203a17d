"""SRTP: what browsers encrypted decrypts to the known plaintext; every refusal has its reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy, Session
from support.captures import VECTORS, notes_of, pcap_udp_payloads, read, rtpdump_records, whole

from sfu.errors import BadPacket
from sfu.rtp import srtp
from sfu.rtp.libsrtp import BINDING, Binding, direct_binding, portable_binding
from sfu.rtp.srtp import PROFILES, InboundSrtp, OutboundSrtp, SrtpProfile

PORTABLE_MAX = 1356
"""Bytes of a packet that pylibsrtp itself protects at most."""

BINDINGS = [pytest.param(BINDING, id="default"), pytest.param(portable_binding(), id="portable")]


def recordings() -> list[Any]:
    """Encrypted recordings with the same packets in plaintext."""
    plain = whole("rtp", "*-srtpkeys-*.rtpdump")
    return [
        pytest.param(path, path.with_suffix(".rtpdump"), id=f"trimmed-{path.stem}")
        for path in sorted((VECTORS / "srtp").glob("*.pcap"))
    ] + [pytest.param(path, plain[name], id=f"whole-{name}") for name, path in whole("srtp", "*.pcap").items()]


def packet(sequence_number: int = 1, ssrc: int = 7, size: int = 100) -> bytes:
    header = b"\x80\x60" + sequence_number.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")
    return header + bytes(size - 12)


def compound(ssrc: int = 7) -> bytes:
    return b"\x80\xc9\x00\x01" + ssrc.to_bytes(4, "big")


def pair(profile: str = "AEAD_AES_128_GCM", binding: Binding = BINDING) -> tuple[OutboundSrtp, InboundSrtp]:
    row = PROFILES[profile]
    key, salt = b"k" * row.key_length, b"s" * row.salt_length
    return OutboundSrtp(profile, key, salt, binding=binding), InboundSrtp(profile, key, salt, binding=binding)


def reason(call: Callable[[bytes], bytes], data: bytes) -> str:
    with pytest.raises(BadPacket) as caught:
        call(data)
    return caught.value.reason


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(("pcap", "plain"), recordings())
def test_what_a_browser_encrypted_decrypts_to_the_known_plaintext(
    pcap: Path, plain: Path, binding: Binding
) -> None:
    keys = json.loads(notes_of(plain).read_text())
    name = keys["srtp"].removeprefix("SRTP_").replace("CM_SHA1", "CM_HMAC_SHA1")
    row = PROFILES[name]
    material = bytes.fromhex(keys["srtp_keymat_hex"])
    assert len(material) == 2 * (row.key_length + row.salt_length)
    salt = material[2 * row.key_length :][: row.salt_length]
    inbound = InboundSrtp(name, material[: row.key_length], salt, binding=binding)
    ciphertexts = list(pcap_udp_payloads(read(pcap)))
    records = list(rtpdump_records(read(plain)))
    assert len(ciphertexts) == len(records) > 6
    for ciphertext, record in zip(ciphertexts, records, strict=True):
        unprotect = inbound.unprotect_rtcp if record.is_rtcp else inbound.unprotect
        assert unprotect(ciphertext) == record.data


def test_the_direct_binding_is_found_in_the_supported_pylibsrtp() -> None:
    assert direct_binding() is not None


def test_without_pylibsrtps_private_parts_there_is_no_direct_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfu.rtp.libsrtp.pylibsrtp.Session", object)
    assert direct_binding() is None


@pytest.mark.parametrize(
    ("binding", "longest"), [(BINDING, srtp.MAX_PLAINTEXT), (portable_binding(), PORTABLE_MAX)]
)
@pytest.mark.parametrize("row", PROFILES.values(), ids=lambda row: row.name)
def test_round_trip(row: SrtpProfile, binding: Binding, longest: int) -> None:
    outbound, inbound = pair(row.name, binding)
    for size in (12, 13, 100, longest):
        protected = outbound.protect(packet(size, size=size))
        assert len(protected) == size + row.overhead
        assert inbound.unprotect(protected) == packet(size, size=size)
    assert inbound.unprotect_rtcp(outbound.protect_rtcp(compound())) == compound()


def test_what_the_portable_binding_has_no_room_for_is_refused() -> None:
    outbound, inbound = pair(binding=portable_binding())
    assert reason(outbound.protect, packet(size=PORTABLE_MAX + 1)) == "srtp-failed"
    inbound.unprotect(outbound.protect(packet(2)))


@pytest.mark.parametrize("row", PROFILES.values(), ids=lambda row: row.name)
def test_same_bytes_as_pylibsrtps_own_session(row: SrtpProfile) -> None:
    policy = Policy(
        b"k" * row.key_length + b"s" * row.salt_length, Policy.SSRC_ANY_OUTBOUND, 0, row.libsrtp_profile
    )
    theirs, ours = Session(policy), pair(row.name)[0]
    assert ours.protect(packet()) == theirs.protect(packet())
    assert ours.protect_rtcp(compound()) == theirs.protect_rtcp(compound())


@pytest.mark.parametrize("binding", BINDINGS)
def test_replays_are_refused(binding: Binding) -> None:
    outbound, inbound = pair(binding=binding)
    first = outbound.protect(packet(1))
    inbound.unprotect(first)
    assert reason(inbound.unprotect, first) == "srtp-replay"
    inbound.unprotect(outbound.protect(packet(1 + srtp.WINDOW)))
    assert reason(inbound.unprotect, first) == "srtp-replay-old"
    control = outbound.protect_rtcp(compound())
    inbound.unprotect_rtcp(control)
    assert reason(inbound.unprotect_rtcp, control) == "srtp-replay"


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_cut_and_every_flipped_byte_is_refused(profile: str, binding: Binding) -> None:
    outbound, inbound = pair(profile, binding)
    for protected, unprotect in (
        (outbound.protect(packet(size=40)), inbound.unprotect),
        (outbound.protect_rtcp(compound()), inbound.unprotect_rtcp),
    ):
        for end in range(len(protected)):
            assert reason(unprotect, protected[:end]) in {"srtp-malformed", "srtp-auth", "srtp-failed"}
            forged = protected[:end] + bytes((protected[end] ^ 1,)) + protected[end + 1 :]
            assert reason(unprotect, forged).startswith("srtp-")
        assert reason(unprotect, protected + b"x") in {"srtp-auth", "srtp-failed"}
        unprotect(protected)
    assert inbound.ssrc_count == 1


@given(st.binary(max_size=200), st.sampled_from(sorted(PROFILES)))
def test_random_bytes_are_refused(data: bytes, profile: str) -> None:
    _, inbound = pair(profile)
    assert reason(inbound.unprotect, data).startswith("srtp-")
    assert reason(inbound.unprotect_rtcp, data).startswith("srtp-")
    assert inbound.ssrc_count == 0


def test_too_long_is_refused_before_libsrtp_sees_it() -> None:
    outbound, inbound = pair()
    assert reason(outbound.protect, packet(size=srtp.MAX_PLAINTEXT + 1)) == "srtp-too-long"
    assert reason(outbound.protect_rtcp, bytes(srtp.MAX_RTCP_PLAINTEXT + 1)) == "srtp-too-long"
    assert reason(inbound.unprotect, bytes(srtp.MAX_CIPHERTEXT + 1)) == "srtp-too-long"


def test_a_retransmission_protects_to_the_same_bytes_until_it_is_older_than_the_window() -> None:
    outbound, _ = pair()
    first = outbound.protect(packet(1))
    outbound.protect(packet(srtp.WINDOW))
    assert outbound.protect(packet(1)) == first
    outbound.protect(packet(srtp.WINDOW + 1))
    assert reason(outbound.protect, packet(1)) == "srtp-replay-old"


def test_ssrcs_of_one_peer_are_limited_until_some_are_forgotten() -> None:
    outbound, inbound = pair()
    for ssrc in range(srtp.MAX_INBOUND_SSRCS):
        inbound.unprotect(outbound.protect(packet(ssrc=ssrc)))
    one_more = outbound.protect(packet(ssrc=1000))
    assert reason(inbound.unprotect, one_more) == "srtp-ssrc-limit"
    inbound.unprotect(outbound.protect(packet(2, ssrc=5)))
    inbound.forget(5)
    inbound.forget(5)
    inbound.unprotect(one_more)
    assert inbound.ssrc_count == srtp.MAX_INBOUND_SSRCS


@pytest.mark.parametrize("binding", BINDINGS)
def test_what_was_forgotten_begins_again_and_the_rest_goes_on(binding: Binding) -> None:
    outbound, inbound = pair(binding=binding)
    for direction in (outbound, inbound):
        direction.forget(99)
    sent = [outbound.protect(packet(5000, ssrc)) for ssrc in (5, 6)]
    control = outbound.protect_rtcp(compound(5))
    inbound.unprotect_rtcp(control)
    for data in sent:
        inbound.unprotect(data)
    for direction in (outbound, inbound):
        direction.forget(5)
        direction.forget(5)
    assert inbound.unprotect(sent[0]) == packet(5000, 5)
    assert inbound.unprotect_rtcp(control) == compound(5)
    assert reason(inbound.unprotect, sent[1]) == "srtp-replay"
    outbound.protect(packet(1, 5))
    assert reason(outbound.protect, packet(1, 6)) == "srtp-replay-old"


def test_ssrcs_that_only_report_give_way_to_newer_ones() -> None:
    outbound, inbound = pair()
    inbound.unprotect(outbound.protect(packet(ssrc=1)))
    reports = {ssrc: outbound.protect_rtcp(compound(ssrc)) for ssrc in (1, 2, 3)}
    for report in reports.values():
        inbound.unprotect_rtcp(report)
    for ssrc in range(100, 100 + srtp.MAX_REPORTERS - 1):
        inbound.unprotect_rtcp(outbound.protect_rtcp(compound(2)))
        inbound.unprotect_rtcp(outbound.protect_rtcp(compound(ssrc)))
    assert inbound.ssrc_count == 1 + srtp.MAX_REPORTERS
    # Who sends media and who goes on to report is protected from replays, who fell silent is forgotten.
    assert reason(inbound.unprotect_rtcp, reports[1]) == "srtp-replay"
    assert reason(inbound.unprotect_rtcp, reports[2]) == "srtp-replay"
    assert inbound.unprotect_rtcp(reports[3]) == compound(3)
    inbound.unprotect(outbound.protect(packet(ssrc=2)))
    assert inbound.ssrc_count == 1 + srtp.MAX_REPORTERS


def test_close_frees_and_later_use_crashes_loudly() -> None:
    outbound, inbound = pair()
    protected = outbound.protect(packet())
    for direction in (outbound, inbound):
        direction.close()
        direction.close()
        assert direction.context is None
    with pytest.raises(TypeError):
        outbound.protect(packet(2))
    with pytest.raises(TypeError):
        inbound.unprotect(protected)
    for direction in (outbound, inbound):
        with pytest.raises(TypeError):
            direction.forget(7)


def test_wrong_key_material_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="key of 16"):
        OutboundSrtp("AEAD_AES_128_GCM", b"short", bytes(12))
    with pytest.raises(KeyError):
        InboundSrtp("NULL", b"", b"")
