import pytest

from sfu.sdp.errors import SdpError
from sfu.sdp.lines import DescriptionLimits, Line, split_lines, split_sections


def failure(text: str, limits: DescriptionLimits | None = None) -> tuple[str, int | None]:
    with pytest.raises(SdpError) as caught:
        split_sections(split_lines(text, limits or DescriptionLimits()), limits or DescriptionLimits())
    return caught.value.reason, caught.value.line


def test_lines_are_numbered_from_one_whatever_ends_them() -> None:
    assert split_lines("v=0\r\no=x\n") == [Line("v", "0", 1), Line("o", "x", 2)]
    assert split_lines("v=0\r\no=x") == split_lines("v=0\no=x\r\n")


def test_a_value_may_be_empty_and_may_contain_equals_signs() -> None:
    assert split_lines("s=\na=b=c\n") == [Line("s", "", 1), Line("a", "b=c", 2)]


@pytest.mark.parametrize("row", ["", "v", "v:0", "\r", " v=0", "a=x\0y", "a=x\ry", "a=\ud83d", "\ude00=x"])
def test_anything_else_than_letter_equals_value_is_refused_by_line(row: str) -> None:
    assert failure(f"v=0\r\n{row}\r\ns=-\r\n") == ("sdp-syntax", 2)


def test_sections_start_at_each_m_line() -> None:
    head, first, second = split_sections(split_lines("v=0\nm=a\na=x\nm=b\n"))
    assert [line.type for line in head] == ["v"]
    assert [line.value for line in first] == ["a", "x"]
    assert [line.value for line in second] == ["b"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("v=0\ns=-\no=x\n", 3),  # out of order
        ("v=0\nv=0\n", 2),  # twice
        ("v=0\na=x\nt=0 0\n", 3),
        ("v=0\nx=y\n", 2),  # no such type
        ("v=0\nm=a\nt=0 0\n", 3),  # not inside a media description
        ("v=0\nm=a\na=x\nc=IN\n", 4),
        ("v=0\nm=a\ni=x\ni=y\n", 4),
    ],
)
def test_lines_have_a_fixed_order(text: str, line: int) -> None:
    assert failure(text) == ("sdp-syntax", line)


def test_time_descriptions_repeat() -> None:
    text = "v=0\no=x\ns=-\nt=0 0\nr=1\nt=1 2\nz=0\na=x\n"
    assert len(split_sections(split_lines(text))[0]) == 8


def test_limits_on_size_and_counts() -> None:
    assert failure("v=0\n" * 3, DescriptionLimits(characters=11)) == ("sdp-too-large", None)
    assert failure("v=0\n" * 3, DescriptionLimits(lines=2)) == ("sdp-too-large", None)
    assert failure("v=0\nm=a\nm=b\n", DescriptionLimits(media=1)) == ("sdp-too-large", 3)
    assert failure("v=0\na=xy\n", DescriptionLimits(line=3)) == ("sdp-too-large", 2)
    exact = DescriptionLimits(characters=8, lines=2, line=3, media=1)
    assert len(split_sections(split_lines("v=0\nm=a\n", exact), exact)) == 2
