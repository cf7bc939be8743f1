"""The job type `generate`: the handler and its model."""

import random
from itertools import islice
from pathlib import Path

from job_types.generate.handler import generate
from job_types.generate.model import CORPUS, LanguageModel, tokens_of
from worker.testing import open_harness


async def test_the_output_is_the_text_token_by_token(tmp_path: Path) -> None:
    async with open_harness(tmp_path) as harness:
        result = await harness.run(generate, prompt="A worker", max_tokens=30, seed=1, tokens_per_second=1000)
        assert result["tokens"] == len(harness.output) == 30
        assert "".join(map(str, harness.output)) == result["text"]


async def test_the_same_seed_gives_the_same_text(tmp_path: Path) -> None:
    async with open_harness(tmp_path) as harness:
        texts = [
            (await harness.run(generate, max_tokens=40, seed=seed, tokens_per_second=1000))["text"]
            for seed in (5, 5, 6)
        ]
        assert texts[0] == texts[1] != texts[2]


def test_a_model_goes_on_as_its_text_does():
    model = LanguageModel("the cat sat on the mat.\nthe dog sat on the cat.\n")
    assert "".join(islice(model.generate("the dog", 0, random.Random(1)), 3)) == " sat on the"


def test_a_model_goes_on_from_words_that_it_does_not_know():
    model = LanguageModel("one two three one two three")
    assert next(model.generate("unknown", 0, random.Random(1))) in {" one", " two", " three"}


def test_tokens_are_the_whole_text():
    text = "Words, marks\nand a worker's lines."
    assert "".join(tokens_of(text)) == text


def test_the_corpus_is_text_of_this_project():
    assert len(tokens_of(CORPUS.read_text())) > 5000
