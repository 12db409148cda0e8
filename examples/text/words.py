"""Taking a text apart."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Self

_GRAMMAR = """
a about after all also an and any are as at be been but by can could did do does for from had has have he her him his
how i if in into is it its just like me more most my no not now of on one only or other our out over she so some than
that the their them then there these they this to two up us was we were what when where which who why will with would
you your
"""

STOP_WORDS = frozenset(_GRAMMAR.split())
"""English words that say little about what a text is about."""

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_VOWELS = re.compile(r"[aeiouyäöü]+")


@dataclass(frozen=True)
class Text:
    """A text taken apart; words are in lower case."""

    characters: int
    words: list[str]
    sentences: list[str]

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Take a text apart.

        Raises:
            ValueError: bytes that are not UTF-8.
        """
        plain = text.decode() if isinstance(text, bytes) else text
        sentences = [sentence.strip() for sentence in _SENTENCE_END.split(plain) if _WORD.search(sentence)]
        return cls(len(plain), [word.lower() for word in _WORD.findall(plain)], sentences)

    def frequencies(self) -> Counter[str]:
        """How often each word is used."""
        return Counter(self.words)


def syllables(word: str) -> int:
    """Roughly how many syllables a word has: its groups of vowels, without a silent e at the end."""
    groups = len(_VOWELS.findall(word))
    silent = word.endswith("e") and not word.endswith("le") and groups > 1
    return max(groups - silent, 1)


def reading_ease(text: Text) -> float:
    """Flesch's reading ease (1948): 100 is very easy, 0 very hard; a text without words is easy."""
    if not text.words:
        return 100.0
    per_sentence = len(text.words) / max(len(text.sentences), 1)
    per_word = sum(map(syllables, text.words)) / len(text.words)
    return 206.835 - 1.015 * per_sentence - 84.6 * per_word


def overlap(first: Text, second: Text) -> float:
    """The share of words that two texts have in common (Jaccard's index), the grammar's words left out."""
    ours, theirs = (set(text.words) - STOP_WORDS for text in (first, second))
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0
