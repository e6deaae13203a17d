"""One peer's transport: ICE, DTLS, SRTP, RTP and RTCP joined, and the way of a media packet through it.

Pure code: datagrams and `now` go in, datagrams and events come out.
"""
