"""The model of `embed`: near texts have near vectors, and no text changes the vector of another."""

import numpy as np
import pytest

from job_types.embed.contract import DIMENSIONS, MAX_TOKENS, EmbedParams
from job_types.embed.handler import estimate_tokens, load, result_of
from worker.models.batch import Device

pytestmark = pytest.mark.models

TEXTS = [
    "A man is eating food.", "", "word " * 400, "The girl is carrying a baby.", "猫が好きです",
    "A man is eating a piece of bread. " * 9, "🎉", "A cheetah is running behind its prey.", "x" * 300,
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return load(Device("cpu", 1))


def test_every_vector_has_the_length_1(model):
    vectors = model.embed(TEXTS).vectors
    assert vectors.shape == (len(TEXTS), DIMENSIONS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_vector_is_the_same_alone_and_among_others(model):
    together = model.embed(TEXTS * 3)
    for place, text in enumerate(TEXTS):
        alone = model.embed([text])
        for copy in range(place, 3 * len(TEXTS), len(TEXTS)):
            assert np.abs(together.vectors[copy] - alone.vectors[0]).max() <= 1e-5
            assert together.tokens[copy] == alone.tokens[0]


def test_texts_of_one_meaning_are_near(model):
    cat, kitten, law, katze = model.embed(
        [
            "A cat sits on the mat.",
            "A kitten is sitting on a rug.",
            "The court dismissed the appeal.",
            "The judges rejected the claim.",
        ]
    ).vectors
    assert cat @ kitten > 0.6
    assert law @ katze > 0.6
    assert max(cat @ law, cat @ katze, kitten @ law, kitten @ katze) < 0.2


def test_the_vectors_are_those_of_the_float_model(model):
    """Similarities of two sentences with the first, as the model's authors give them, within 0.1."""
    first, near, far = model.embed(
        ["That is a happy person", "That is a very happy person", "Today is a sunny day"]
    ).vectors
    assert first @ near == pytest.approx(0.94, abs=0.02)
    assert first @ far == pytest.approx(0.26, abs=0.05)


def test_a_text_that_is_too_long_says_so_and_counts_as_it_is_read(model):
    found = model.embed(["cat", "word " * 400])
    assert found.truncated == [False, True]
    assert found.tokens == [3, MAX_TOKENS]
    same = model.embed(["word " * 254])
    assert np.abs(found.vectors[1] - same.vectors[0]).max() <= 1e-5


def test_both_encodings_hold_the_same_32_bit_numbers(model):
    import base64

    found = model.embed(["A cat.", "A dog."])
    floats = result_of(EmbedParams(texts=["A cat.", "A dog."]), found, 0, 2)
    coded = result_of(EmbedParams(texts=["A cat.", "A dog."], encoding="base64"), found, 0, 2)
    decoded = np.array([np.frombuffer(base64.b64decode(text), "<f4") for text in coded.vectors])
    assert (decoded == np.array(floats.vectors, np.float32)).all()
    assert np.abs(decoded - found.vectors).max() < 1e-8


def test_the_estimate_of_tokens_is_bounded_by_what_the_model_reads():
    assert estimate_tokens(EmbedParams(texts=["a", "b" * 60_000])) <= 2 + MAX_TOKENS
