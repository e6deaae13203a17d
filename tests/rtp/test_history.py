"""The packet history: what was added is found until it is too old, and never more than the depth is kept."""

from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.history import PacketHistory


def test_a_packet_is_found_by_its_number() -> None:
    history = PacketHistory(depth=4)
    history.add(65534, b"a", 0.0)
    history.add(65536, b"c", 0.1)
    assert history.get(65534, 0.1) == b"a"
    assert history.get(65535, 0.1) is None
    assert history.get(65536, 0.1) == b"c"
    assert history.get(65537, 0.1) is None
    history.add(65535, b"b", 0.2)  # late
    assert history.get(65535, 0.2) == b"b"
    assert len(history) == 3


def test_the_oldest_packet_is_dropped_at_the_depth() -> None:
    history = PacketHistory(depth=4)
    for number in range(10):
        history.add(number, bytes([number]), 0.0)
    assert [history.get(number, 0.0) for number in range(5, 10)] == [None, b"\6", b"\7", b"\x08", b"\x09"]
    history.add(5, b"late", 0.0)
    assert history.get(5, 0.0) is None


def test_a_packet_from_before_the_first_is_kept_if_there_is_room() -> None:
    history = PacketHistory(depth=4)
    history.add(10, b"x", 0.0)
    history.add(8, b"y", 0.0)
    assert history.get(8, 0.0) == b"y"
    history.add(6, b"z", 0.0)
    assert history.get(6, 0.0) is None


def test_old_packets_are_not_given_out_and_are_freed_by_the_next() -> None:
    history = PacketHistory(depth=8, max_age=1.0)
    history.add(1, b"a", 0.0)
    history.add(2, b"b", 0.6)
    assert history.get(1, 1.0) == b"a"
    assert history.get(1, 1.1) is None
    history.add(4, b"d", 1.1)
    assert len(history) == 2
    history.add(5, b"e", 9.0)
    assert len(history) == 1


def test_a_jump_past_everything_starts_again() -> None:
    history = PacketHistory(depth=4)
    for number in range(4):
        history.add(number, b"old", 0.0)
    history.add(1 << 40, b"new", 0.0)
    assert len(history) == 1
    assert history.get(0, 0.0) is None
    assert history.get(1 << 40, 0.0) == b"new"


def test_clear_forgets_everything() -> None:
    history = PacketHistory(depth=4)
    history.add(3, b"x", 0.0)
    history.clear()
    assert len(history) == 0
    assert history.get(3, 0.0) is None
    history.add(3, b"y", 0.0)
    assert history.get(3, 0.0) == b"y"


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 0.2)), max_size=80),
    st.integers(1, 16),
)
def test_it_agrees_with_a_dictionary(arrivals: list[tuple[int, float]], depth: int) -> None:
    history, model, now, newest = PacketHistory(depth, max_age=1.0), dict[int, tuple[float, bytes]](), 0.0, -1
    for count, (number, wait) in enumerate(arrivals):
        now += wait
        data = b"%d" % count
        history.add(number, data, now)
        if number > newest - depth:
            model[number] = (now, data)
        newest = max(newest, number)
        assert len(history) <= depth
        for asked in range(62):
            at, kept = model.get(asked, (0.0, None))
            found = history.get(asked, now)
            if kept is not None and asked > newest - depth and at >= now - 1.0:
                assert found == kept
            else:
                assert found is None
