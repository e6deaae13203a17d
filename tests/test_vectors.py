"""tests/vectors holds every kind of recording, says where it is from, and stays small."""

import json

import pytest
from support.captures import VECTORS

MAX_SIZE = 5_000_000
"""Bytes of all files together."""

KINDS = {
    "dtls/*-client-hello-0.bin": 7,
    "dtls/*-client-flight*.bin": 4,
    "dtls/*-server-flight.bin": 2,
    "dtls/*-client.pcap": 3,
    "dtls/*-client-rsa.pcap": 2,
    "dtls/*-client-lostfirst.pcap": 1,
    "dtls/*-server*.pcap": 4,
    "dtls/b2b-*.pcap": 2,
    "dtls/other-*.pcap": 5,
    "ice/*-check.bin": 4,
    "ice/rfc5769-*.bin": 3,
    "rtp/chromium-*.rtpdump": 6,
    "rtp/firefox-*.rtpdump": 4,
    "rtp/whole/chromium-av1-L?T3*.rtpdump.xz": 2,
    "rtp/whole/chromium-h264-*.rtpdump.xz": 1,
    "rtp/whole/chromium-opus-dtx.rtpdump.xz": 1,
    "rtp/whole/chromium-opus-red.rtpdump.xz": 1,
    "rtp/whole/chromium-vp8-*nack*.rtpdump.xz": 2,
    "rtp/whole/chromium-vp8-screenshare.rtpdump.xz": 1,
    "rtp/whole/chromium-vp8-simulcast-*.rtpdump.xz": 2,
    "rtp/whole/chromium-vp9-L?T3*.rtpdump.xz": 3,
    "rtp/whole/chromium-vp9-canvas-*.rtpdump.xz": 1,
    "rtp/whole/firefox-av1-*.rtpdump.xz": 1,
    "rtp/whole/firefox-opus-dtx.rtpdump.xz": 1,
    "rtp/whole/firefox-vp8-*nack*.rtpdump.xz": 1,
    "rtp/whole/firefox-vp8-*remb*.rtpdump.xz": 1,
    "rtp/whole/firefox-vp8-no-headerext.rtpdump.xz": 1,
    "rtp/whole/firefox-vp8-simulcast-*.rtpdump.xz": 1,
    "rtp/whole/firefox-vp9-*.rtpdump.xz": 1,
    "rtp/whole/other-*.rtpdump.xz": 3,
    "rtp/whole/*-srtpkeys-*.rtpdump.xz": 5,
    "sdp/chromium-answer-to-*.sdp": 18,
    "sdp/chromium-offer-*.sdp": 20,
    "sdp/chromium-offer-simulcast-*.sdp": 5,
    "sdp/chromium-offer-svc-*.sdp": 2,
    "sdp/firefox-answer-to-*.sdp": 27,
    "sdp/firefox-offer-*.sdp": 15,
    "sdp/firefox-offer-simulcast-*.sdp": 3,
    "sdp/firefox-offer-svc-*.sdp": 3,
    "sdp/other-*-answer-by-lite.sdp": 2,
    "sdp/other-*-offer.sdp": 2,
    "srtp/*.pcap": 5,
    "srtp/whole/*.pcap.xz": 5,
}
"""How many recordings there are, at least, of each kind that a test tells apart."""


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_recordings_of_each_kind(kind: str) -> None:
    assert len(list(VECTORS.glob(kind))) >= KINDS[kind]


def test_whole_recordings_cover_the_codecs_and_srtp_profiles_of_both_browsers() -> None:
    codecs: set[tuple[str, str]] = set()
    profiles: set[tuple[str, str]] = set()
    for path in (VECTORS / "rtp" / "whole").glob("*.json"):
        browser, notes = path.name.partition("-")[0], json.loads(path.read_text())
        codecs |= {(browser, name.partition("/")[0].upper()) for name in notes["pts"].values()}
        if "srtp_keymat_hex" in notes:
            profiles.add((browser, notes["srtp"]))
    common = ("VP8", "VP9", "AV1", "OPUS", "RTX")
    both = {(browser, codec) for browser in ("chromium", "firefox") for codec in common}
    assert codecs >= both | {("chromium", "H264"), ("chromium", "RED")}
    assert profiles == {
        ("chromium", "SRTP_AEAD_AES_128_GCM"),
        ("chromium", "SRTP_AEAD_AES_256_GCM"),
        ("chromium", "SRTP_AES128_CM_SHA1_80"),
        ("firefox", "SRTP_AEAD_AES_128_GCM"),
        ("firefox", "SRTP_AES128_CM_SHA1_80"),
    }


def test_every_folder_says_where_its_recordings_are_from() -> None:
    folders = [path for path in VECTORS.iterdir() if path.is_dir()]
    assert folders
    assert [folder for folder in folders if not (folder / "README.md").is_file()] == []


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in VECTORS.rglob("*") if path.is_file()) < MAX_SIZE
