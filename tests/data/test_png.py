"""A PNG that is called plain decodes, however it was tampered with."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kaggle_cifar.data.png import UndecodableError, decode_png, is_plain_png, undecodable_reason
from tests.helpers.archives import of_rows, png

PLAIN = [png(1), of_rows(bytes(3104)), of_rows(bytes([4, *range(96)] * 32))]


def with_right_checksums(content: bytes) -> bytes:
    """Return a PNG with each chunk's CRC made right, as far as its lengths lead."""
    fixed, position = bytearray(content), 8
    while position + 12 <= len(fixed):
        end = position + 8 + struct.unpack_from(">I", fixed, position)[0]
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = zlib.crc32(fixed[position + 4 : end]).to_bytes(4)
        position = end + 4
    return bytes(fixed)


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


@pytest.mark.parametrize("content", PLAIN)
def test_plain_png_is_recognized(content):
    assert is_plain_png(content)
    expected = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(decode_png(content), expected)


@given(
    base=st.sampled_from(PLAIN),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    inserted=st.sampled_from(
        [b"", *(chunk(kind, b"x" * 9) for kind in (b"tEXt", b"PLTE", b"IDAT"))]
    ),
    place=st.sampled_from([8, 33, -12]),
    length=st.floats(0.97, 1),
)
def test_tampered_png_decodes_if_it_is_plain(base, edits, inserted, place, length):
    place %= len(base)
    content = bytearray(base[:place] + inserted + base[place:])
    for where, value in edits:
        content[int(where * len(content))] = value
    tampered = with_right_checksums(bytes(content[: round(len(content) * length)]))
    if is_plain_png(tampered):
        assert decode_png(tampered).shape == (32, 32, 3)


@given(st.binary(max_size=200), st.booleans())
def test_undecodable_bytes_have_a_reason(content, begins_like_a_png):
    content = png(1)[:33] + content if begins_like_a_png else content
    assert not is_plain_png(content)
    with pytest.raises(UndecodableError):
        decode_png(content)
    assert undecodable_reason(content)


def test_huge_size_in_png_has_a_reason():
    content = of_rows(b"", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    assert undecodable_reason(content)
