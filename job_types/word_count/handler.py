"""Handler of the job type `word_count`."""

from collections import Counter

from job_types.word_count.contract import (
    WORD_COUNT,
    WordCountParams,
    WordCountResult,
    WordFrequency,
)
from worker.context import BlockingContext
from worker.registry import handles

MARK = "\ufeff"  # the byte-order mark; joined files have one at the beginning of each file


@handles(WORD_COUNT)
def word_count(params: WordCountParams, job: BlockingContext) -> WordCountResult:
    """Count the words between whitespace; of equally frequent words, the first in the text comes first."""
    text = params.text.replace(MARK, "")
    words = text.split()
    frequencies = Counter(words)
    return WordCountResult(
        lines=count_lines(text),
        words=len(words),
        unique=len(frequencies),
        top=[WordFrequency(word=word, count=count) for word, count in frequencies.most_common(params.top)],
    )


def count_lines(text: str) -> int:
    """The number of lines as in editors; `str.splitlines` also splits at form feeds and separators."""
    ends = text.count("\n") + text.count("\r") - text.count("\r\n")
    return ends + (text != "" and not text.endswith(("\n", "\r")))
