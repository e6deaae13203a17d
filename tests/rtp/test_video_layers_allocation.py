"""Video layers allocation: recorded examples, and every refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.video_layers_allocation import AllocatedLayer, LayerResolution, VideoLayersAllocation

SINGLE = VideoLayersAllocation(0, 1, (AllocatedLayer(0, 0, (153, 199, 283), LayerResolution(640, 480, 60)),))
SIMULCAST = VideoLayersAllocation(
    2,
    3,
    (
        AllocatedLayer(1, 0, (71, 106, 177), LayerResolution(640, 360, 60)),
        AllocatedLayer(2, 0, (40, 60, 100), LayerResolution(320, 180, 60)),
    ),
)
SVC = VideoLayersAllocation(
    0, 1, (AllocatedLayer(0, 0, (54, 71, 100), None), AllocatedLayer(0, 1, (98, 128, 182), None))
)
EXAMPLES = [
    ("01 80 9901 c701 9b02 027f01df3c", SINGLE),  # as Chromium sent it
    ("a0 0110 a0 47 6a b101 28 3c 64 027f01673c 013f00b33c", SIMULCAST),  # as Chromium sent it
    ("03 a0 36 47 64 62 8001 b601", SVC),
    ("00", VideoLayersAllocation(0, 1, ())),
    ("60 00 00", VideoLayersAllocation(1, 3, ())),
    ("50 10 00 05", VideoLayersAllocation(1, 2, (AllocatedLayer(0, 0, (5,), None),))),
    (
        "11 00 05 06",
        VideoLayersAllocation(0, 2, (AllocatedLayer(0, 0, (5,), None), AllocatedLayer(1, 0, (6,), None))),
    ),
    (
        "0f ff 01010101 01010101 01010101 01010101",
        VideoLayersAllocation(0, 1, tuple(AllocatedLayer(0, spatial, (1,) * 4, None) for spatial in range(4))),
    ),
]


@pytest.mark.parametrize(("data", "allocation"), EXAMPLES)
def test_meaning_of_the_bytes(data: str, allocation: VideoLayersAllocation) -> None:
    assert VideoLayersAllocation.decode(bytes.fromhex(data)) == allocation
    assert allocation.encode() == bytes.fromhex(data)


@pytest.mark.parametrize(("data", "allocation"), EXAMPLES)
def test_data_cut_or_too_long_is_refused_or_says_less(data: str, allocation: VideoLayersAllocation) -> None:
    whole = bytes.fromhex(data)
    for cut in [*(whole[:end] for end in range(len(whole))), whole + b"\xff"]:
        try:
            assert VideoLayersAllocation.decode(cut) != allocation
        except BadPacket as error:
            refused = error.reason
        else:
            # Only resolutions may be left out, and a single zero byte stands for nothing at all.
            assert len(cut) < len(whole)
            continue
        assert refused in ("rtp-ext-layers-allocation", "leb128")


@pytest.mark.parametrize("data", ["", "30", "3000", "01", "05 00", "01 00 05 0000", "01 00 80", "10"])
def test_parts_that_do_not_fit_together_are_refused(data: str) -> None:
    with pytest.raises(BadPacket):
        VideoLayersAllocation.decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    "allocation",
    [
        VideoLayersAllocation(0, 0, ()),
        VideoLayersAllocation(0, 5, ()),
        VideoLayersAllocation(4, 1, ()),
        VideoLayersAllocation(0, 1, (AllocatedLayer(1, 0, (1,), None),)),
        VideoLayersAllocation(0, 1, (AllocatedLayer(0, 4, (1,), None),)),
        VideoLayersAllocation(0, 1, (AllocatedLayer(0, 1, (1,), None), AllocatedLayer(0, 0, (1,), None))),
        VideoLayersAllocation(0, 1, (AllocatedLayer(0, 0, (), None),)),
        VideoLayersAllocation(0, 1, (AllocatedLayer(0, 0, (1,) * 5, None),)),
        VideoLayersAllocation(0, 1, (AllocatedLayer(0, 0, (-1,), None),)),
        VideoLayersAllocation(0, 1, (AllocatedLayer(0, 0, (1,), LayerResolution(0, 1, 1)),)),
        VideoLayersAllocation(
            0, 1, (AllocatedLayer(0, 0, (1,), LayerResolution(1, 1, 1)), AllocatedLayer(0, 1, (1,), None))
        ),
    ],
)
def test_fields_that_do_not_fit_are_the_callers_error(allocation: VideoLayersAllocation) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        allocation.encode()
    assert not isinstance(caught.value, BadPacket)


rates = st.lists(st.integers(0, 100_000), min_size=1, max_size=4).map(tuple)
resolutions = st.builds(LayerResolution, st.integers(1, 65536), st.integers(1, 65536), st.integers(0, 255))


@st.composite
def allocations(draw: st.DrawFn) -> VideoLayersAllocation:
    count = draw(st.integers(1, 4))
    places = draw(st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, 3))))
    said = draw(st.booleans())
    layers = [
        AllocatedLayer(*place, draw(rates), draw(resolutions) if said else None) for place in sorted(places)
    ]
    return VideoLayersAllocation(draw(st.integers(0, 3)), count, tuple(layers))


@given(allocations())
def test_decode_undoes_encode(allocation: VideoLayersAllocation) -> None:
    assert VideoLayersAllocation.decode(allocation.encode()) == allocation
