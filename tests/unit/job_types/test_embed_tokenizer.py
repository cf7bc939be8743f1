"""The tokenizer of `embed`: the ids of its words, and those of a second implementation."""

import random
from collections.abc import Callable

import pytest

from job_types.embed.contract import MAX_TOKENS
from job_types.embed.tokenizer import VOCABULARY, Tokenizer

START, END, UNKNOWN = 101, 102, 100
Encode = Callable[[str], list[int]]

TEXTS = {
    "nothing": "",
    "white space": " \t\r\n\u00a0\u2003\u3000",
    "a sentence": "The quick brown fox jumps over the lazy dog.",
    "accents": "Crème brûlée, Ångström, naïve, ĳsselmeer, ÀÉÎÕÜ",
    "accents as marks": "Cre\u0300me bru\u0302le\u0301e",
    "letters that grow in lower case": "İstanbul straße ΟΔΟΣ ǅ",
    "Chinese": "我喜欢编程，也喜欢猫。",
    "Japanese and Korean": "カタカナとひらがな 한국어 텍스트",
    "Arabic, Hebrew, Thai, Hindi": "السلام عليكم שלום สวัสดี नमस्ते",
    "emoji": "I ❤️ 👩\u200d👩\u200d👧 🎉!",
    "control characters": "a\x00b\x07c\u200bd\ufeffe\ufffdf\x85g\u2028h",
    "punctuation": "«Ja!» – he said… (it's $5/kg, 50%) `x` a_b ^~|<> 1,000.5",
    "a word of 100 letters": "a" * 100,
    "a word of 101 letters": "a" * 101,
    "an unknown part": "hello\u1234world",
    "more than fits": "word " * 1000,
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(MAX_TOKENS)


@pytest.fixture(scope="module")
def encode_elsewhere() -> Encode:
    """The second implementation."""
    from tokenizers import BertWordPieceTokenizer

    other = BertWordPieceTokenizer(str(VOCABULARY), lowercase=True)
    other.enable_truncation(MAX_TOKENS)
    return lambda text: list(other.encode(text).ids)


def test_words_are_split_into_the_longest_pieces(tokenizer: Tokenizer):
    words = VOCABULARY.read_text(encoding="utf-8").splitlines()
    ids, truncated = tokenizer.encode("Embeddings, naïvely.")
    assert [words[number] for number in ids] == [
        "[CLS]", "em", "##bed", "##ding", "##s", ",", "naive", "##ly", ".", "[SEP]"
    ]  # fmt: skip
    assert not truncated


def test_a_text_without_words_is_the_two_marks(tokenizer: Tokenizer):
    assert tokenizer.encode(" \t\x00") == ([START, END], False)


def test_a_part_that_is_not_in_the_vocabulary_makes_its_word_unknown(tokenizer: Tokenizer):
    assert tokenizer.encode("hello\u1234 " + "a" * 101) == ([START, UNKNOWN, UNKNOWN, END], False)


@pytest.mark.parametrize(("words", "truncated"), [(254, False), (255, True), (100_000, True)])
def test_a_text_is_cut_to_the_tokens_that_the_model_reads(tokenizer: Tokenizer, words: int, truncated: bool):
    ids, cut = tokenizer.encode("cat " * words)
    assert (len(ids), ids[0], ids[-1], cut) == (MAX_TOKENS, START, END, truncated)


def test_a_text_cannot_set_the_marks_that_the_model_reads(tokenizer: Tokenizer):
    ids, _ = tokenizer.encode("[SEP] [CLS] [PAD] [MASK]")
    assert not {START, END, 0, 103} & set(ids[1:-1])


@pytest.mark.models
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_second_implementation_gives_the_same_ids(
    tokenizer: Tokenizer, encode_elsewhere: Encode, text: str
):
    assert tokenizer.encode(text)[0] == encode_elsewhere(text)


@pytest.mark.models
def test_a_second_implementation_gives_the_same_ids_for_random_texts(
    tokenizer: Tokenizer, encode_elsewhere: Encode
):
    draw = random.Random(7)
    blocks = [
        range(0x20, 0x7F), range(0x180), range(0x300, 0x370), range(0x391, 0x3CA), range(0x400, 0x460),
        range(0x5D0, 0x5EB), range(0x904, 0x93A), range(0xE01, 0xE31), range(0x2000, 0x2070),
        range(0x3000, 0x30FF), range(0x4E00, 0x4F00), range(0xAC00, 0xAC80), range(0x1F600, 0x1F640),
    ]  # fmt: skip
    for _ in range(5000):
        text = "".join(chr(draw.choice(draw.choice(blocks))) for _ in range(draw.randrange(40)))
        assert tokenizer.encode(text)[0] == encode_elsewhere(text), ascii(text)
