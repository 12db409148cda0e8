"""JSON texts that pass through undecoded: what makes them safe to splice into an answer."""

import msgspec

MAX_DEPTH = 512
"""How deep arguments, results and items may be nested."""

_raw = msgspec.json.Decoder(msgspec.Raw).decode


def is_json_value(text: bytes) -> bool:
    """Whether `text` is exactly one JSON value in UTF-8, at most `MAX_DEPTH` deep."""
    try:
        _raw(text)
        text.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return not too_deep(text)


def too_deep(text: bytes) -> bool:
    """Whether a valid JSON text is nested deeper than `MAX_DEPTH`; counting brackets first spares most texts a scan."""
    return text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH


def _depth(text: bytes) -> int:
    deepest = depth = 0
    in_string = escaped = False
    for byte in text:
        if in_string:
            in_string = escaped or byte != 0x22  # a quotation mark
            escaped = not escaped and byte == 0x5C  # a backslash
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
