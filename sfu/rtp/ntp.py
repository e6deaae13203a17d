"""NTP timestamps: how RTCP and abs-capture-time write wall clock time (RFC 3550 section 4).

A timestamp is a 64-bit integer in units of 2**-32 s since 1900-01-01 00:00 UTC. Its middle 32 bits, in units
of 1/65536 s, are the *compact* form that report blocks use.
"""

from typing import Final

UNIX_EPOCH: Final = 2_208_988_800
"""Seconds from 1900 to 1970 (RFC 868)."""


def ntp_from_unix(seconds: float) -> int:
    """Return the NTP timestamp of a Unix time in seconds; it wraps in 2036, as RTCP's does."""
    return round((seconds + UNIX_EPOCH) * 2**32) & 0xFFFF_FFFF_FFFF_FFFF


def unix_from_ntp(ntp_time: int) -> float:
    """Return the Unix time in seconds of an NTP timestamp of the era that ends in 2036."""
    return ntp_time / 2**32 - UNIX_EPOCH


def compact_ntp(ntp_time: int) -> int:
    """Return the middle 32 bits of an NTP timestamp, in 1/65536 s; they wrap every 18 hours."""
    return ntp_time >> 16 & 0xFFFF_FFFF


def seconds_from_compact(difference: int) -> float:
    """Return the seconds of a difference of two compact times modulo 2**32, which must not be negative."""
    return (difference & 0xFFFF_FFFF) / 65536
