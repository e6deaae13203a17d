"""NTP timestamps: known instants, and round trips."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.ntp import compact_ntp, ntp_from_unix, seconds_from_compact, unix_from_ntp


def test_the_unix_epoch_is_seventy_years_after_that_of_ntp() -> None:
    seconds = (datetime(1970, 1, 1, tzinfo=UTC) - datetime(1900, 1, 1, tzinfo=UTC)).total_seconds()
    assert ntp_from_unix(0.0) == int(seconds) << 32


def test_fractions_fill_the_low_half() -> None:
    assert ntp_from_unix(0.5) & 0xFFFF_FFFF == 0x8000_0000


def test_the_era_wraps_in_2036() -> None:
    assert ntp_from_unix(2**32 - 2_208_988_800 + 1.0) == 1 << 32


@given(st.floats(0, 2_085_000_000))
def test_unix_time_survives_to_a_microsecond(seconds: float) -> None:
    assert unix_from_ntp(ntp_from_unix(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_the_compact_form_is_the_middle() -> None:
    assert compact_ntp(0x1122_3344_5566_7788) == 0x3344_5566


def test_compact_differences_are_seconds_across_the_wrap() -> None:
    assert seconds_from_compact(0x0000_8000 - 0xFFFF_8000) == 1.0
