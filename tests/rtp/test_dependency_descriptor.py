"""Dependency descriptors: recorded structures, overrides, lost structures, any bytes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp import extensions
from sfu.rtp.codecs.av1 import Av1Payload
from sfu.rtp.codecs.vp9 import Vp9Descriptor
from sfu.rtp.dependency_descriptor import DependencyDescriptor, DependencyReader
from sfu.rtp.dependency_structure import (
    DecodeTargetIndication as Dti,
)
from sfu.rtp.dependency_structure import (
    DependencyStructure,
    FrameDependencies,
)
from sfu.rtp.packet import RtpPacket

N, D, S, R = Dti

# The first packet of a key frame of three temporal layers (L1T3, AV1), as Chromium sent it.
KEY_FRAME = bytes.fromhex("800001800214eaa860414d1410208427027f01df")
L1T3 = DependencyStructure(
    template_id_offset=0,
    decode_target_count=3,
    protected_by=(0, 0, 0),
    chain_count=1,
    templates=(
        FrameDependencies(0, 0, (S, S, S), (), (0,)),
        FrameDependencies(0, 0, (S, S, S), (4,), (4,)),
        FrameDependencies(0, 1, (N, D, S), (2,), (2,)),
        FrameDependencies(0, 2, (N, N, D), (1,), (1,)),
        FrameDependencies(0, 2, (N, N, D), (1,), (3,)),
    ),
    resolutions=((640, 480),),
)


def descriptor(**fields: Any) -> DependencyDescriptor:
    values: dict[str, Any] = {
        "start_of_frame": True,
        "end_of_frame": True,
        "template_id": 3,
        "frame_number": 0x1234,
        "structure": None,
        "active_decode_targets": None,
        "frame": L1T3.templates[3],
    }
    return DependencyDescriptor(**values | fields)


def test_a_key_frame_brings_the_structure() -> None:
    parsed = DependencyDescriptor.parse(KEY_FRAME)
    assert parsed == descriptor(
        end_of_frame=False, template_id=0, frame_number=1, structure=L1T3, frame=L1T3.templates[0]
    )
    assert parsed.serialize() == KEY_FRAME


def test_decode_targets_have_the_layers_of_their_frames() -> None:
    assert L1T3.decode_target_layers() == ((0, 0), (0, 1), (0, 2))


def test_three_bytes_refer_to_a_template() -> None:
    assert DependencyDescriptor.parse(bytes.fromhex("c31234"), L1T3) == descriptor()
    assert descriptor().serialize(L1T3) == bytes.fromhex("c31234")


def test_template_ids_wrap() -> None:
    structure = DependencyStructure(62, 1, (), 0, (FrameDependencies(0, 0, (S,), (), ()),) * 4, ())
    assert structure.template(62) is structure.templates[0]
    assert structure.template(1) is structure.templates[3]
    assert structure.template(2) is None
    assert structure.template(61) is None


def test_a_frame_may_override_its_template() -> None:
    custom = descriptor(
        active_decode_targets=0b011,
        frame=FrameDependencies(0, 2, (N, R, D), (1, 17, 300, 4096), (255,)),
    )
    data = custom.serialize(L1T3)
    assert data[:3] == bytes.fromhex("c31234")
    assert DependencyDescriptor.parse(data, L1T3) == custom


def test_without_the_structure_only_the_fixed_fields_are_known() -> None:
    assert DependencyDescriptor.parse(bytes.fromhex("c31234")) == descriptor(frame=None)
    data = descriptor(active_decode_targets=3).serialize(L1T3)
    assert DependencyDescriptor.parse(data) == descriptor(frame=None)


def test_a_template_of_another_structure_is_not_an_error() -> None:
    assert DependencyDescriptor.parse(bytes.fromhex("e01234"), L1T3) == descriptor(
        end_of_frame=True, template_id=32, frame=None
    )


def test_a_descriptor_cut_anywhere_is_refused_or_says_less() -> None:
    for end in range(len(KEY_FRAME)):
        if end == 3:
            assert DependencyDescriptor.parse(KEY_FRAME[:end]).structure is None
            continue
        with pytest.raises(BadPacket) as caught:
            DependencyDescriptor.parse(KEY_FRAME[:end])
        assert caught.value.reason == "rtp-ext-dependency-descriptor"


def test_bytes_after_a_descriptor_are_ignored() -> None:
    assert DependencyDescriptor.parse(KEY_FRAME + b"\xff") == DependencyDescriptor.parse(KEY_FRAME)


@pytest.mark.parametrize(
    "layers",
    [
        "10" * 4,  # spatial layer 4
        "01" * 8,  # temporal layer 8
        "00" * 64,  # template 65
    ],
)
def test_impossible_layers_are_refused(layers: str) -> None:
    bits = "1" + "0" * 23 + "10000" + "000000" + "00000" + layers + "11" * 200
    data = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
    with pytest.raises(BadPacket, match="template"):
        DependencyDescriptor.parse(data)


def structure(**fields: Any) -> DependencyStructure:
    values: dict[str, Any] = {
        "template_id_offset": 3,
        "decode_target_count": 2,
        "protected_by": (0, 0),
        "chain_count": 1,
        "templates": (FrameDependencies(0, 0, (S, S), (), (0,)), FrameDependencies(0, 1, (N, D), (1,), (1,))),
        "resolutions": (),
    }
    return DependencyStructure(**values | fields)


@st.composite
def structures(draw: st.DrawFn) -> DependencyStructure:
    targets = draw(st.sampled_from([1, 2, 3, 9, 32]))
    chains = draw(st.integers(0, min(targets, 4)))
    layers = [(0, 0)]
    for spatial_step, temporal_step in draw(st.lists(st.sampled_from([(0, 0), (0, 1), (1, 0)]), max_size=8)):
        spatial, temporal = layers[-1]
        following = (spatial + 1, 0) if spatial_step else (spatial, temporal + temporal_step)
        if following[0] <= 3 and following[1] <= 7:
            layers.append(following)

    def numbers(count: int) -> bytes:
        return draw(st.binary(min_size=count, max_size=count))

    templates = tuple(
        FrameDependencies(
            *layer,
            tuple(Dti(number & 3) for number in numbers(targets)),
            tuple(number % 16 + 1 for number in draw(st.binary(max_size=4))),
            tuple(number & 15 for number in numbers(chains)),
        )
        for layer in layers
    )
    protected_by = tuple(number % chains for number in numbers(targets)) if chains else ()
    sizes = tuple((number + 1, 65536 - number) for number in numbers(layers[-1][0] + 1))
    resolutions = sizes if draw(st.booleans()) else ()
    return DependencyStructure(draw(st.integers(0, 63)), targets, protected_by, chains, templates, resolutions)


@given(structures())
def test_structures_come_back(whole: DependencyStructure) -> None:
    described = descriptor(template_id=whole.template_id_offset, structure=whole, frame=whole.templates[0])
    assert DependencyDescriptor.parse(described.serialize()) == described
    highest = max(template.spatial_id for template in whole.templates)
    assert all(spatial <= highest for spatial, _ in whole.decode_target_layers())


@pytest.mark.parametrize(
    "wrong",
    [
        structure(template_id_offset=64),
        structure(decode_target_count=33),
        structure(decode_target_count=3),
        structure(protected_by=(0, 1)),
        structure(protected_by=(0,)),
        structure(protected_by=(0, 0), chain_count=0),
        structure(chain_count=2),
        structure(templates=()),
        structure(templates=(FrameDependencies(0, 1, (S, S), (), (0,)),)),
        structure(templates=(FrameDependencies(0, 0, (S, S), (17,), (0,)),)),
        structure(templates=(FrameDependencies(0, 0, (S, S), (), (16,)),)),
        structure(
            templates=(FrameDependencies(0, 0, (S, S), (), (0,)), FrameDependencies(0, 2, (S, S), (), (0,)))
        ),
        structure(templates=(FrameDependencies(0, 0, (S, S), (), (0,)),) * 65),
        structure(templates=tuple(FrameDependencies(spatial, 0, (S, S), (), (0,)) for spatial in range(5))),
        structure(templates=tuple(FrameDependencies(0, temporal, (S, S), (), (0,)) for temporal in range(9))),
        structure(resolutions=((1, 1), (2, 2))),
        structure(resolutions=((0, 1),)),
    ],
)
def test_structures_that_do_not_fit_are_the_callers_error(wrong: DependencyStructure) -> None:
    frame = wrong.templates[0] if wrong.templates else None
    with pytest.raises(ValueError, match=r".") as caught:
        descriptor(template_id=wrong.template_id_offset, structure=wrong, frame=frame).serialize()
    assert not isinstance(caught.value, BadPacket)


@pytest.mark.parametrize(
    "fields",
    [
        {"frame": None},
        {"template_id": 5},
        {"frame_number": 0x10000},
        {"active_decode_targets": 8},
        {"frame": FrameDependencies(0, 1, (N, N, D), (1,), (1,))},
        {"frame": FrameDependencies(0, 2, (N, N), (1,), (1,))},
        {"frame": FrameDependencies(0, 2, (N, N, D), (4097,), (1,))},
        {"frame": FrameDependencies(0, 2, (N, N, D), (0,), (1,))},
        {"frame": FrameDependencies(0, 2, (N, N, D), (1,), (256,))},
        {"frame": FrameDependencies(0, 2, (N, N, D), (1,), (1, 1))},
    ],
)
def test_frames_that_do_not_fit_are_the_callers_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        descriptor(**fields).serialize(L1T3)
    assert not isinstance(caught.value, BadPacket)


def test_without_a_structure_nothing_can_be_described() -> None:
    with pytest.raises(ValueError, match="no template"):
        descriptor().serialize()


def test_a_reader_remembers_structure_and_active_targets() -> None:
    reader = DependencyReader()
    assert reader.read(bytes.fromhex("c31234")).frame is None
    assert reader.active_decode_targets == 0
    reader.read(KEY_FRAME)
    assert reader.structure == L1T3
    assert reader.active_decode_targets == 0b111
    assert reader.read(bytes.fromhex("c31234")).frame == L1T3.templates[3]
    reader.read(descriptor(active_decode_targets=0b001).serialize(L1T3))
    assert reader.active_decode_targets == 0b001
    reader.read(bytes.fromhex("c31234"))
    assert reader.active_decode_targets == 0b001


def test_a_refused_descriptor_leaves_a_reader_as_it_was() -> None:
    reader = DependencyReader()
    reader.read(KEY_FRAME)
    other = descriptor(template_id=3, structure=structure(), frame=structure().templates[0]).serialize()
    with pytest.raises(BadPacket):
        reader.read(other[:-3])
    assert reader.structure == L1T3


@given(st.binary(min_size=4, max_size=60), st.booleans())
def test_any_bytes_parse_to_what_comes_back_or_are_refused(data: bytes, known: bool) -> None:
    given_structure = L1T3 if known else None
    try:
        parsed = DependencyDescriptor.parse(data, given_structure)
    except BadPacket:
        return
    if parsed.frame is not None:
        assert DependencyDescriptor.parse(parsed.serialize(given_structure), given_structure) == parsed


def descriptors(capture: Any, codec: str) -> Any:
    """(payload, descriptor, structure, extension bytes) of this codec's packets, in order, stream by stream."""
    readers: dict[int, DependencyReader] = {}
    for data in capture.media:
        packet = RtpPacket.parse(data)
        if capture.codec(packet).upper() != codec:
            continue
        for identifier, element in packet.extensions:
            if capture.about["extmap"][str(identifier)] == extensions.DEPENDENCY_DESCRIPTOR.uri:
                reader = readers.setdefault(packet.ssrc, DependencyReader())
                yield packet.payload, reader.read(element), reader.structure, element


@pytest.mark.parametrize("codec", ["VP8", "VP9", "AV1"])
def test_recorded_descriptors_come_back_byte_for_byte(described_capture: Any, codec: str) -> None:
    for _, parsed, known, element in descriptors(described_capture, codec):
        if parsed.frame is not None:  # else the structure was in a packet that was dropped on purpose
            assert parsed.serialize(known) == element
        if parsed.structure is not None:
            assert parsed.start_of_frame


def test_recorded_descriptors_agree_with_the_payloads_own(described_capture: Any) -> None:
    for payload, parsed, _, _ in descriptors(described_capture, "VP9"):
        vp9 = Vp9Descriptor.parse(payload)
        assert (vp9.starts_frame, vp9.ends_frame) == (parsed.start_of_frame, parsed.end_of_frame)
        if parsed.frame is not None:
            assert (vp9.spatial_id, vp9.temporal_id) == parsed.frame[:2]
    for payload, parsed, _, _ in descriptors(described_capture, "AV1"):
        for obu in Av1Payload.parse(payload).starting_obus():
            if obu.spatial_id is not None and parsed.frame is not None:
                assert (obu.spatial_id, obu.temporal_id) == parsed.frame[:2]
