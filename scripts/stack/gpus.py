"""GPUs as a person writes them (`h100:2,t4:2`), and as Nomad's NVIDIA plugin would report them."""

import uuid
from dataclasses import dataclass

PLUGIN = "yurt_gpu_sim"
"""The device plugin that reports them, and the file that Nomad finds it by."""

MODELS = {
    "t4": ("Tesla T4", 15360),
    "l4": ("NVIDIA L4", 23034),
    "a10": ("NVIDIA A10G", 23028),
    "a100-40gb": ("NVIDIA A100-SXM4-40GB", 40960),
    "a100-80gb": ("NVIDIA A100-SXM4-80GB", 81920),
    "l40s": ("NVIDIA L40S", 46068),
    "h100": ("NVIDIA H100 80GB HBM3", 81559),
    "h200": ("NVIDIA H200", 143771),
    "b200": ("NVIDIA B200", 183359),
    "rtx-pro-6000": ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887),
}
"""Short names, with the product name and the memory in MiB that the hardware reports."""

_IDS = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")


@dataclass(frozen=True)
class Gpus:
    """Some GPUs of one model in one node.

    Attributes:
        model: the product name.
    """

    model: str
    memory_mib: int
    count: int

    def ids(self, node: str) -> list[str]:
        """One for each, the same after every restart."""
        return [f"GPU-{uuid.uuid5(_IDS, f'{node}/{self.model}/{number}')}" for number in range(self.count)]

    def __str__(self) -> str:
        return f"{self.model}/{self.memory_mib}:{self.count}"


def _parse_one(text: str) -> Gpus:
    name, colon, count = text.rpartition(":")
    if not colon or not count.isdigit() or not 0 < int(count) <= 1024:
        raise ValueError(f"{text!r} is not MODEL:COUNT, such as h100:2, with a count from 1 to 1024")
    if name.lower() in MODELS:
        model, memory_mib = MODELS[name.lower()]
        return Gpus(model, memory_mib, int(count))
    model, slash, memory = name.rpartition("/")
    if not slash or not model or not memory.isdigit():
        known = ", ".join(MODELS)
        raise ValueError(f"{name!r} is neither one of {known} nor PRODUCT NAME/MEMORY IN MIB, such as NVIDIA L20/46068")
    return Gpus(model, int(memory), int(count))


def parse_gpus(text: str) -> tuple[Gpus, ...]:
    """Read the GPUs of a node: `MODEL:COUNT` with commas between, or `none`.

    Raises:
        ValueError: it is not of that form, or a model comes twice.
    """
    if text.strip().lower() == "none":
        return ()
    found = tuple(_parse_one(part.strip()) for part in text.split(","))
    models = [gpus.model for gpus in found]
    if twice := sorted({model for model in models if models.count(model) > 1}):
        raise ValueError(f"{', '.join(twice)} comes twice; give one count for each model")
    return found
