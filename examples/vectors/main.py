"""Texts as vectors: a class that loads something slow once, and serves many calls with it.

The "model" is made up: a vector counts the letter triples of a text, spread over so many dimensions by a hash.
"""

import math
import time
from zlib import crc32

LOAD_S = 0.5
"""What reading a real model would take, and much more."""


class Embedder:
    """Embeds texts.

    Attributes:
        dimensions: of the vectors; a parameter, so that each number of them has containers of its own.
        lower: whether capital letters count as small ones; a parameter, too.
    """

    dimensions: int
    lower: bool

    def load(self) -> None:
        """Called once, before the first call."""
        began = time.perf_counter()
        time.sleep(LOAD_S)
        self.calls = 0
        self.known: dict[str, list[float]] = {}
        print(f"loaded {self.dimensions} dimensions in {time.perf_counter() - began:.2f} s")

    def embed(self, text: str) -> list[float]:
        """A text as a vector of length 1; what was asked before is remembered."""
        self.calls += 1
        if text not in self.known:
            self.known[text] = self._vector(text)
        return self.known[text]

    async def nearest(self, text: str, among: list[str]) -> dict[str, object]:
        """Which of several texts is most like this one."""
        if not among:
            raise ValueError("among must name at least one text")
        own = self.embed(text)
        scores = {other: sum(a * b for a, b in zip(own, self.embed(other), strict=True)) for other in among}
        best = max(scores, key=lambda other: scores[other])
        return {"text": best, "likeness": round(scores[best], 3)}

    def served(self) -> dict[str, int]:
        """What this container has done so far."""
        return {"calls": self.calls, "remembered": len(self.known)}

    def report(self) -> None:
        """Called once, when the container ends."""
        print(f"served {self.calls} calls")

    def _vector(self, text: str) -> list[float]:
        text = text.lower() if self.lower else text
        counts = [0.0] * self.dimensions
        for at in range(max(1, len(text) - 2)):
            counts[crc32(text[at : at + 3].encode()) % self.dimensions] += 1.0
        length = math.sqrt(sum(count * count for count in counts))
        return [round(count / length, 4) for count in counts]
