from collections import Counter

from job_types.word_count.contract import (
    WORD_COUNT,
    WordCountParams,
    WordCountResult,
    WordFrequency,
)
from worker.context import BlockingContext
from worker.registry import handles

MARK = "\ufeff"  # the byte-order mark; joined files have one where each of them begins


@handles(WORD_COUNT)
def word_count(params: WordCountParams, job: BlockingContext) -> WordCountResult:
    """Count what whitespace separates; of words that are equally frequent, the first seen comes first."""
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
    """The number of lines as editors show it; `str.splitlines` also splits at form feeds and separators."""
    ends = text.count("\n") + text.count("\r") - text.count("\r\n")
    return ends + (text != "" and not text.endswith(("\n", "\r")))
