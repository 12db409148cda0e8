"""The names of GPUs: `TYPE` or `TYPE:n`, in any letter case."""

import re
from collections.abc import Mapping

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

MODELS: Mapping[str, str] = {
    "T4": r"^(NVIDIA|Tesla) T4$",
    "L4": r"^NVIDIA L4$",
    "A10": r"^(NVIDIA )?A10G?$",
    "A100-40GB": r"^(NVIDIA )?A100-(SXM4|PCIE)-40GB$",
    "A100-80GB": r"^(NVIDIA )?A100(-SXM4-80GB| 80GB PCIe)$",
    "L40S": r"^NVIDIA L40S$",
    "H100": r"^NVIDIA H100( 80GB HBM3| PCIe| NVL)$",
    "H200": r"^NVIDIA H200( NVL)?$",
    "B200": r"^NVIDIA B200$",
    "RTX-PRO-6000": r"^NVIDIA RTX PRO 6000 Blackwell Server Edition$",
}
"""The product names that each type stands for, as the driver gives them; older ones leave the maker out. Anchored, so
that slices of a GPU (MIG) and neighbours such as A10 and A100 stay apart; without lookahead, which RE2 has not."""

EITHER = {"A100": ("A100-40GB", "A100-80GB")}
"""Types that stand for several; a container gets all its GPUs of one of them."""

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


def split(request: str) -> tuple[str, int]:
    """Type and count of a canonical request: `H100:2` → `("H100", 2)`, `T4` → `("T4", 1)`."""
    name, _, count = request.partition(":")
    return name, int(count or 1)


def type_of(model: str, further: Mapping[str, str]) -> str | None:
    """The type that a product name belongs to, or None for one that no type stands for.

    Args:
        model: as the driver gives it.
        further: the operator's own types by product name; they come first.
    """
    known = further.get(model)
    if known is not None:
        return known
    return next((name for name, pattern in MODELS.items() if re.search(pattern, model)), None)
