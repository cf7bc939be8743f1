from collections import Counter

from shared.contracts.word_count import (
    WORD_COUNT,
    WordCountParams,
    WordCountResult,
    WordFrequency,
)
from worker.context import BlockingContext
from worker.registry import handles


@handles(WORD_COUNT)
def word_count(params: WordCountParams, job: BlockingContext) -> WordCountResult:
    """Count what whitespace separates; of words that are equally frequent, the first seen comes first."""
    words = params.text.split()
    frequencies = Counter(words)
    return WordCountResult(
        lines=len(params.text.splitlines()),
        words=len(words),
        unique=len(frequencies),
        top=[WordFrequency(word=word, count=count) for word, count in frequencies.most_common(params.top)],
    )
