"""RTP and RTCP: what their bytes mean, and what a forwarder keeps about a stream.

Pure code: bytes and `now` go in, values and bytes come out. Parsers raise `sfu.errors.BadPacket` and
nothing else. Start reading at `sfu.rtp.packet` (one RTP packet) and `sfu.rtp.rtcp` (one RTCP datagram).
"""
