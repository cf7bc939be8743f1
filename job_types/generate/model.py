"""A small language model: the frequencies of words after the words before them, counted in `corpus.txt`.

The corpus is the documentation of this project. A token is a word or a mark with the space before it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

ORDER = 2  # tokens that the next one depends on, or fewer where the corpus has no such sequence
TOKEN = re.compile(r" ?(?:\w+(?:['’-]\w+)*|[^\w\s])|\n+")
CORPUS = Path(__file__).with_name("corpus.txt")

Context = tuple[str, ...]


class LanguageModel:
    """The tokens that follow each context in a text.

    Args:
        text: the corpus.
    """

    def __init__(self, text: str) -> None:
        self._following: defaultdict[Context, Counter[str]] = defaultdict(Counter)
        tokens = tokens_of(text)
        for at, token in enumerate(tokens):
            for length in range(min(ORDER, at) + 1):
                self._following[tuple(tokens[at - length : at])][token] += 1

    def generate(self, prompt: str, temperature: float, random: Random) -> Iterator[str]:
        """Yield tokens that go on from a prompt, without an end.

        Args:
            prompt: the text before the first token.
            temperature: 0 for the likeliest token each time; above, the larger the more random.
            random: the source of randomness.
        """
        before = tokens_of(prompt)[-ORDER:]
        while True:
            token = self._next(before, temperature, random)
            yield token
            before = [*before, token][-ORDER:]

    def _next(self, before: list[str], temperature: float, random: Random) -> str:
        following = next(
            self._following[tuple(before[start:])]
            for start in range(len(before) + 1)
            if tuple(before[start:]) in self._following
        )
        tokens = sorted(following, key=lambda token: (-following[token], token))
        if temperature == 0:
            return tokens[0]
        most = following[tokens[0]]
        weights = [(following[token] / most) ** (1 / temperature) for token in tokens]
        return random.choices(tokens, weights)[0]


def tokens_of(text: str) -> list[str]:
    """The tokens of a text."""
    return TOKEN.findall(text)


@cache
def load() -> LanguageModel:
    """The model of the corpus, made at its first use."""
    return LanguageModel(CORPUS.read_text(encoding="utf-8"))
