"""Thumbnails of PNG images, in plain Python."""

import itertools
import logging
import math
import os

from png import Image, read_png, write_png

logging.basicConfig(level=os.environ.get("LOG_LEVEL", "WARNING").upper(), format="%(levelname)s %(message)s")
log = logging.getLogger(__name__)

LARGEST = 4_000_000
"""Pixels that plain Python handles in a few seconds."""


def resize(image: bytes, *, width: int) -> bytes:
    """Scale a PNG down to `width` pixels, keeping its proportions; each new pixel is the mean of those it covers."""
    if width < 1:
        raise ValueError(f"width must be positive, got {width}")
    original = _within_reach(read_png(image))
    if width >= original.width:
        log.info("already %d wide", original.width)
        return image
    height = max(1, round(original.height * width / original.width))
    log.info("from %dx%d to %dx%d", original.width, original.height, width, height)
    columns = _spans(original.width, width)
    rows = [
        _shrink(original.rows[top:bottom], columns, original.channels)
        for top, bottom in _spans(original.height, height)
    ]
    return write_png(Image(width, height, original.channels, rows))


def describe(image: bytes) -> dict[str, object]:
    """The size and the kind of a PNG, and its average colour."""
    original = _within_reach(read_png(image))
    mean = _shrink(original.rows, [(0, original.width)], original.channels)
    return {
        "width": original.width,
        "height": original.height,
        "bytes": len(image),
        "channels": {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}[original.channels],
        "average": list(mean),
    }


def draw(width: int = 320, height: int = 200) -> bytes:
    """Paint a sunset over the sea."""
    if not 0 < width * height <= LARGEST:
        raise ValueError(f"{width}x{height} is not between 1 and {LARGEST:,} pixels")
    rows = [b"".join(_colour(x / width, y / height) for x in range(width)) for y in range(height)]
    return write_png(Image(width, height, 3, rows))


def _colour(x: float, y: float) -> bytes:
    """The sunset at a place, both coordinates from 0 to 1."""
    glow = math.exp(-((x - 0.5) ** 2 * 9 + (y - 0.55) ** 2 * 30))
    if y > 0.6:
        ripple = 0.5 + 0.5 * math.sin(90 * y + 12 * x)
        red, green, blue = 20 + 150 * glow * ripple, 40 + 70 * glow, 90 + 30 * ripple
    else:
        red, green, blue = 70 + 185 * max(glow, y), 50 + 130 * glow + 60 * y, 120 - 80 * y
    return bytes(min(255, int(channel)) for channel in (red, green, blue))


def _within_reach(image: Image) -> Image:
    if image.width * image.height > LARGEST:
        raise ValueError(f"{image.width}x{image.height} is more than {LARGEST:,} pixels")
    return image


def _spans(length: int, parts: int) -> list[tuple[int, int]]:
    """Cut 0..length into `parts` pieces of about equal size, none empty."""
    cuts = [part * length // parts for part in range(parts + 1)]
    return list(itertools.pairwise(cuts))


def _shrink(rows: list[bytes], columns: list[tuple[int, int]], channels: int) -> bytes:
    """One row whose pixels are the means of the columns' pixels over all `rows`."""
    out = bytearray()
    for left, right in columns:
        for channel in range(channels):
            total = sum(sum(row[left * channels + channel : right * channels : channels]) for row in rows)
            out.append(total // (len(rows) * (right - left)))
    return bytes(out)
