"""Reading and writing PNG images (https://www.w3.org/TR/png-3/): 8 bits a channel, not interlaced, no palette."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_COLOUR_TYPES = {channels: kind for kind, channels in _CHANNELS.items()}


@dataclass(frozen=True)
class Image:
    """Rows of pixels, each pixel `channels` bytes: grey, grey and alpha, RGB, or RGB and alpha."""

    width: int
    height: int
    channels: int
    rows: list[bytes]


def read_png(content: bytes) -> Image:
    """Decode an image.

    Raises:
        ValueError: it is no PNG, is damaged, or is of a kind that this reader leaves out.
    """
    if not content.startswith(_SIGNATURE):
        raise ValueError("this is not a PNG image")
    chunks = list(_chunks(content))
    if not chunks or chunks[0][0] != b"IHDR":
        raise ValueError("the PNG has no header")
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 8 or kind not in _CHANNELS or interlaced:
        raise ValueError(f"only 8-bit PNGs without palette and interlacing are read (depth {depth}, type {kind})")
    data = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    channels = _CHANNELS[kind]
    if len(data) != height * (width * channels + 1):
        raise ValueError("the PNG's pixels are not as many as its header says")
    return Image(width, height, channels, list(_unfilter(data, width * channels, channels)))


def write_png(image: Image) -> bytes:
    """Encode an image."""
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, _COLOUR_TYPES[image.channels], 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in image.rows))
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        yield name, body
        at += 12 + length


def _unfilter(data: bytes, stride: int, step: int) -> Iterator[bytes]:
    """Undo the filter that each row names in its first byte (section 9 of the standard)."""
    above = bytes(stride)
    for start in range(0, len(data), stride + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + stride])
        for at in range(stride if kind else 0):
            left = row[at - step] if at >= step else 0
            corner = above[at - step] if at >= step else 0
            row[at] = (row[at] + _predict(kind, left, above[at], corner)) & 255
        above = bytes(row)
        yield above


def _predict(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 2:
        return up
    if kind == 3:
        return (left + up) // 2
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda value: abs(guess - value))
    raise ValueError(f"the PNG names an unknown filter, {kind}")
