"""What a text is like: its size, how easy it reads, what it is about.

Every function takes a text as a string, or as the bytes of a file in UTF-8.
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import combinations

from words import STOP_WORDS, Text, overlap, reading_ease, syllables


def statistics(text: str | bytes) -> dict[str, object]:
    """Count, and judge how easy the text reads (Flesch's reading ease, made for English)."""
    parsed = Text.parse(text)
    score = reading_ease(parsed)
    return {
        "characters": parsed.characters,
        "words": len(parsed.words),
        "distinct_words": len(set(parsed.words)),
        "sentences": len(parsed.sentences),
        "syllables": sum(map(syllables, parsed.words)),
        "longest_word": max(parsed.words, key=len, default=""),
        "reading_ease": round(score, 1),
        "reads": "easily" if score >= 60 else "with some effort" if score >= 30 else "hard",
    }


def keywords(text: str | bytes, *, limit: int = 10) -> list[dict[str, object]]:
    """The words that carry the text: often used, long, and not of the grammar."""
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    parsed = Text.parse(text)
    weights = {
        word: count * len(word) ** 0.5
        for word, count in parsed.frequencies().items()
        if word not in STOP_WORDS and len(word) > 2
    }
    best = sorted(weights, key=lambda word: (-weights[word], word))[:limit]
    return [{"word": word, "count": parsed.frequencies()[word], "weight": round(weights[word], 2)} for word in best]


async def compare(texts: list[str]) -> list[dict[str, object]]:
    """How alike each two texts are, from 0 (no word in common) to 1, most alike first."""
    parsed = await asyncio.gather(*(asyncio.to_thread(Text.parse, text) for text in texts))
    pairs = {
        (first, second): overlap(parsed[first], parsed[second]) for first, second in combinations(range(len(parsed)), 2)
    }
    return [{"texts": pair, "likeness": round(pairs[pair], 3)} for pair in sorted(pairs, key=lambda pair: -pairs[pair])]


def sentences(text: str | bytes) -> Iterator[dict[str, object]]:
    """Each sentence with how easy it reads, as soon as it is read."""
    for sentence in Text.parse(text).sentences:
        yield {"sentence": sentence, "reading_ease": round(reading_ease(Text.parse(sentence)), 1)}


def study(text: str | bytes, *, pause: float = 1.0) -> dict[str, object]:
    """Read sentence by sentence, `pause` seconds each, and print what it finds; for trying out long calls."""
    parsed = Text.parse(text)
    hardest, lowest = "", float("inf")
    for number, sentence in enumerate(parsed.sentences, start=1):
        time.sleep(pause)
        score = reading_ease(Text.parse(sentence))
        print(f"sentence {number} of {len(parsed.sentences)}: reading ease {score:.0f}")
        if score < lowest:
            hardest, lowest = sentence, score
    return {"sentences": len(parsed.sentences), "hardest": hardest}
