"""Each handler, called as the worker calls it."""

import time
from collections import Counter
from io import StringIO

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from job_types.echo.contract import EchoParams
from job_types.echo.handler import echo
from job_types.flaky.contract import FlakyParams, FlakyResult
from job_types.flaky.handler import flaky
from job_types.sleep.contract import SleepParams, SleepResult
from job_types.sleep.handler import sleep
from job_types.word_count.contract import WordCountParams, WordCountResult
from job_types.word_count.handler import word_count
from shared.errors import FinalError, RetryableError
from worker.context import BlockingContext, JobContext

TEXT = """Ich weiß nicht, was soll es bedeuten,
Daß ich so traurig bin;
Ein Märchen aus alten Zeiten,
Das kommt mir nicht aus dem Sinn.
猫 犬 猫 🙂 naïve\u00a0naïve
"""


def attempt(number: int = 1) -> JobContext:
    return JobContext("a-job", number, 5)


class Reports(JobContext):
    """A context that keeps every fraction reported."""

    def __init__(self) -> None:
        super().__init__("a-job", 1, 5)
        self.fractions: list[float] = []
        self._on_report = lambda: self.fractions.append(orjson.loads(self.latest)["fraction"])


# -- echo


@pytest.mark.parametrize("message", ["hello", None, 0, [1, [2]], {"a": {"b": "ü"}}, ""])
async def test_echo_gives_back_what_came(message: object):
    assert await echo(EchoParams(message=message), attempt()) == EchoParams(message=message)


# -- sleep


async def test_sleep_sleeps_as_long_as_it_was_asked_to():
    started = time.monotonic()
    result = await sleep(SleepParams(seconds=0.03), attempt())
    assert result == SleepResult(slept=0.03)
    assert time.monotonic() - started + 0.002 >= 0.03


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_a_short_sleep_reports_its_end(seconds: float):
    job = Reports()
    assert (await sleep(SleepParams(seconds=seconds), job)).slept == seconds
    assert job.fractions == [1.0]
    assert job.unsent


async def test_a_long_sleep_reports_each_twentieth_and_ends_at_one(monkeypatch: pytest.MonkeyPatch):
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    monkeypatch.setattr("job_types.sleep.handler.asyncio.sleep", nap)
    job = Reports()
    await sleep(SleepParams(seconds=600), job)
    assert job.fractions == pytest.approx([n / 20 for n in range(1, 21)])
    assert naps == pytest.approx([600 * n / 20 for n in range(1, 21)], abs=1)
    assert orjson.loads(job.latest) == {"fraction": 1.0, "message": "slept 600 of 600 s"}


# -- word_count


def expected(text: str, top: int) -> dict:
    """The same count by another way: word by word, and the lines as a file in text mode has them."""
    text = text.replace("\ufeff", "")
    words = text.split()
    order = {word: place for place, word in reversed(list(enumerate(words)))}
    ranking = sorted(Counter(words).items(), key=lambda item: (-item[1], order[item[0]]))
    return {
        "lines": len(list(StringIO(text, newline=None))),
        "words": len(words),
        "unique": len(set(words)),
        "top": [{"word": word, "count": count} for word, count in ranking[:top]],
    }


def test_word_count_counts_a_poem_by_hand():
    result = word_count(WordCountParams(text=TEXT, top=3), BlockingContext(attempt()))
    assert (result.lines, result.words, result.unique) == (5, 30, 27)
    assert [(word.word, word.count) for word in result.top] == [("aus", 2), ("猫", 2), ("naïve", 2)]


def test_word_count_of_no_text_is_zero():
    assert word_count(WordCountParams(text=""), BlockingContext(attempt())) == WordCountResult(
        lines=0, words=0, unique=0, top=[]
    )


def test_word_count_of_blank_text_has_lines_but_no_words():
    assert word_count(WordCountParams(text=" \n\t\n"), BlockingContext(attempt())).model_dump() == {
        "lines": 2,
        "words": 0,
        "unique": 0,
        "top": [],
    }


def test_of_words_equally_frequent_the_first_seen_comes_first():
    result = word_count(WordCountParams(text="b a b a c", top=2), BlockingContext(attempt()))
    assert [word.word for word in result.top] == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb", 2),
        ("a\nb\n", 2),
        ("a\r\nb\r\n", 2),
        ("a\rb", 2),
        ("a\n\rb", 3),
        ("\r\n\r\n", 2),
        ("a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i", 1),
        ("\ufeff", 0),
        ("\ufeffa\n", 1),
    ],
)
def test_word_count_counts_lines_as_editors_do(text: str, lines: int):
    assert word_count(WordCountParams(text=text), BlockingContext(attempt())).lines == lines


def test_a_byte_order_mark_is_no_part_of_a_word():
    result = word_count(WordCountParams(text="\ufeffto be\n\ufeffto \ufeff"), BlockingContext(attempt()))
    assert (result.words, result.unique) == (3, 2)
    assert [(word.word, word.count) for word in result.top] == [("to", 2), ("be", 1)]


@given(some.text(alphabet="abcé猫 \n\r\t\u00a0\u2028\x0c\ufeff"), some.integers(1, 100))
def test_word_count_agrees_with_a_plain_count(text: str, top: int):
    assert word_count(
        WordCountParams(text=text, top=top), BlockingContext(attempt())
    ).model_dump() == expected(text, top)


# -- flaky


async def test_flaky_fails_as_often_as_it_was_told_to_and_then_succeeds():
    params = FlakyParams(failures=2)
    for number in (1, 2):
        with pytest.raises(RetryableError, match=f"failure {number} of 2") as caught:
            await flaky(params, attempt(number))
        assert (caught.value.code, caught.value.retryable) == ("flaky_failure", True)
    assert await flaky(params, attempt(3)) == FlakyResult(attempts=3)


async def test_flaky_succeeds_at_once_unless_told_otherwise():
    assert await flaky(FlakyParams(), attempt()) == FlakyResult(attempts=1)


@pytest.mark.parametrize("failures", [0, 3])
async def test_flaky_can_fail_for_good(failures: int):
    with pytest.raises(FinalError) as caught:
        await flaky(FlakyParams(final=True, failures=failures), attempt())
    assert (caught.value.code, caught.value.retryable) == ("flaky_final", False)
