"""The frames that containers are sent."""

from yurt.pools.inputs import Input
from yurt_runner import wire


def input_frame(item: Input, args: bytes, *, flags: int = 0) -> bytes:
    """The frame that gives an input to a container; `flags` may say that more of its batch follow."""
    more = f',"metadata":{item.metadata_json}' if item.metadata_json else ""
    if item.target is not None:
        more += f',"method":"{item.target.method}"'
    suffix = item.suffix
    call = suffix if item.group is None else item.group.suffix
    head = f'{{"number":{item.history.number},"call_id":"fc-{call}","input_id":"in-{suffix}"{more}}}'
    return wire.pack(wire.INPUT, item.seq, item.token, args, meta=head.encode(), flags=flags)
