"""WordPiece tokenizer of uncased BERT models: a text becomes the ids of its words and parts of words.

Its ids are those of the library `tokenizers`, except for texts that spell a special token, such as `[SEP]`.
Here these are plain words, so that a text can't set the marks that the model reads.
"""

import unicodedata
from functools import lru_cache
from pathlib import Path

VOCABULARY = Path(__file__).with_name("vocabulary.txt")
MAX_WORD = 100  # characters; a longer word is unknown
CACHED_WORDS = 65_536
IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
"""The blocks of characters that are words by themselves, as the library has them."""


class Tokenizer:
    """Tokenizer with the vocabulary of `vocabulary.txt`, whose lines are in the order of the ids.

    Args:
        limit: tokens of a text at most, with the two marks around it.
    """

    def __init__(self, limit: int) -> None:
        words = VOCABULARY.read_text(encoding="utf-8").splitlines()
        self._ids = {word: number for number, word in enumerate(words)}
        self._longest = max(map(len, words))
        self._start, self._end, self._unknown = (self._ids[mark] for mark in ("[CLS]", "[SEP]", "[UNK]"))
        self._limit = limit
        self._cleaning, self._spacing = Cleaning(), Spacing()
        self._pieces_of = lru_cache(CACHED_WORDS)(self._split_word)

    def encode(self, text: str) -> tuple[list[int], bool]:
        """The ids of a text between the two marks, and whether the text was cut."""
        clean = unicodedata.normalize("NFD", text.translate(self._cleaning))
        room = self._limit - 2
        ids: list[int] = []
        for word in clean.translate(self._spacing).split():
            ids += self._pieces_of(word)
            if len(ids) > room:
                return [self._start, *ids[:room], self._end], True
        return [self._start, *ids, self._end], False

    def _split_word(self, word: str) -> tuple[int, ...]:
        """The ids of the longest pieces of a word, from left to right; `[UNK]` if a part is unknown."""
        if len(word) > MAX_WORD:
            return (self._unknown,)
        pieces, begin = [], 0
        while begin < len(word):
            mark = "##" if begin else ""
            for end in range(min(len(word), begin + self._longest), begin, -1):
                if (number := self._ids.get(mark + word[begin:end])) is not None:
                    break
            else:
                return (self._unknown,)
            pieces.append(number)
            begin = end
        return tuple(pieces)


class Cleaning(dict[int, str]):
    """Table for `str.translate`: spaces for white space and around ideographs, no control characters."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in "\t\n\r":
            new = " "
        elif code in (0, 0xFFFD) or unicodedata.category(char) in ("Cc", "Cf", "Co"):
            new = ""
        elif char.isspace():
            new = " "
        elif any(first <= code <= last for first, last in IDEOGRAPHS):
            new = f" {char} "
        else:
            new = char
        self[code] = new
        return new


class Spacing(dict[int, str]):
    """Table for `str.translate`: lower case, spaces around punctuation, nothing for accents."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Mn":
            new = ""
        elif category.startswith("P") or (char.isascii() and category.startswith("S")):
            new = f" {char} "
        else:
            new = char.lower()
        self[code] = new
        return new
