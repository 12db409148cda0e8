"""The names of GPUs: `TYPE` or `TYPE:n`, in any letter case."""

import re

from yurt.domain.naming import did_you_mean, shown

TYPES = (
    "T4",
    "L4",
    "A10",
    "A100",
    "A100-40GB",
    "A100-80GB",
    "L40S",
    "H100",
    "H200",
    "B200",
    "RTX-PRO-6000",
)
"""The contract's types; `A100` means either of the two."""

ALIASES = {"A10G": "A10"}
"""Other names of the same type, as cloud providers use them."""

MAX_COUNT = 8
"""GPUs of one container: one host has so many."""

PATTERN = "^({})(:[1-{}])?$".format(
    "|".join("".join(f"[{c}{c.lower()}]" if c.isalpha() else c for c in name) for name in (*TYPES, *ALIASES)), MAX_COUNT
)
"""What `canonical` takes, for documents: letters of either case."""

_SPELLED = {name.upper(): name for name in TYPES} | {alias.upper(): name for alias, name in ALIASES.items()}
_LOOKALIKES = str.maketrans("OI", "01")
"""Letters typed for digits, as in H1OO."""

_COUNT = re.compile(r"[1-9][0-9]?\Z")


def canonical(text: str) -> str:
    """The one spelling of a GPU request: `h100:2` → `H100:2`, `A10G` → `A10`, `T4:1` → `T4`.

    Raises:
        ValueError: it names no GPU; the message says what is wrong and what would be right.
    """
    name, colon, count = text.partition(":")
    known = _SPELLED.get(name.upper())
    if known is None:
        hint = did_you_mean(name.upper().translate(_LOOKALIKES), _SPELLED) or f" Known are {', '.join(TYPES)}."
        raise ValueError(f"unknown type {shown(name)}.{hint}")
    if not colon:
        return known
    if not _COUNT.match(count) or int(count) > MAX_COUNT:
        raise ValueError(f"the count after the colon must be 1 to {MAX_COUNT}, as in {known}:2, got {shown(count)}")
    return known if int(count) == 1 else f"{known}:{int(count)}"
